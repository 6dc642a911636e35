-- 1: the act of a request with an Idempotency-Key is committed, whether its answer is kept or not. Written in the act's own transaction.
ALTER TABLE kit_idempotency ADD COLUMN done SMALLINT NOT NULL DEFAULT 0;
