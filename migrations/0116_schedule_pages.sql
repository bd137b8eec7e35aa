-- Where a date's workflow is among the records whose time has come: they are started page by page,
-- each page in a transaction of its own, so that a million of them are not one.

alter table crm_schedules
    -- The newest value that these pages go up to; none between two looks.
    add column page_until text,
    -- Behind which record the next page begins.
    add column page_cursor text,
    add check ((page_until is null) = (page_cursor is null));
