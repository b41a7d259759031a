-- The sites that may show a profile's chat in a frame; none: there is no widget of it.

alter table agent_profiles
    add column widget_origins text[] not null default '{}';
