// Keeps a list of elements equal to a list of items: what stays is not made anew, so focus and scroll stay too.

/**
 * keep(tbody, items, { key: (item) => item.id, make: (item) => h("tr", …), update: (element, item) => {…} })
 * Without `update`, an element is made anew when its item's JSON has changed.
 */
export function keep(parent, items, { key, make, update = null }) {
  const known = new Map([...parent.children].map((element) => [element.dataset.key, element]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    const text = update ? "" : JSON.stringify(item);
    let element = known.get(name);
    known.delete(name);
    if (element && update) update(element, item);
    else if (!element || element.keptAs !== text) {
      const fresh = make(item);
      if (element && element === place) place = element.nextElementSibling;
      element?.remove();
      element = fresh;
      element.dataset.key = name;
      element.keptAs = text;
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const element of known.values()) element.remove();
}
