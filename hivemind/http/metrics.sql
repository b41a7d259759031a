-- name: numbers
-- One row: what only the database knows, each a count that an index answers.
select (select count(*) from approvals where state = 'pending') as approvals,
       (select coalesce(jsonb_object_agg(state, n), '{}')
        from (select state, count(*) as n from directives where state in ('queued', 'running') group by state) d
       ) as directives
