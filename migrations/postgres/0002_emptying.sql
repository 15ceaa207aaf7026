-- A rebuild empties the read models at once: rows that are deleted one by one leave as much space behind as they took,
-- and every new row of the same key is compared with what is left of the old one.
CREATE FUNCTION deed_forget_due_work() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE due_work_size SET waiting = 0;
    RETURN NULL;
END
$$;

DROP TRIGGER due_work_is_not_truncated ON due_work;
CREATE TRIGGER due_work_is_emptied AFTER TRUNCATE ON due_work
    FOR EACH STATEMENT EXECUTE FUNCTION deed_forget_due_work();
