-- The statements of the built-in tools.

-- name: delegation
-- How often the job was passed on before it came to this agent, whom this turn has given jobs to, and for which
-- schedule it works.
with recursive above as (
    select id, parent_id, 0 as depth from agents where id = %(agent)s
    union all
    select a.id, a.parent_id, above.depth + 1
    from agents a join above on a.id = above.parent_id where above.depth < %(most)s
)
select (select max(depth) from above) as depth,
       array(select idempotency_key from turns where idempotency_scope = %(scope)s) as children,
       t.schedule_id
from turns t where t.id = %(turn)s
