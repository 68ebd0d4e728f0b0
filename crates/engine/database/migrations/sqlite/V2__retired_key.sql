-- The key that an agent is to replace: it is asked to for as long as that is its credential.
ALTER TABLE agent ADD COLUMN retired_key BLOB;
