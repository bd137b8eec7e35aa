-- People end runs, and start some.

alter table crm_jobs drop constraint crm_jobs_state_check;
alter table crm_jobs add constraint crm_jobs_state_check
    check (state in ('waiting', 'queued', 'leased', 'done', 'dead', 'cancelled'));
