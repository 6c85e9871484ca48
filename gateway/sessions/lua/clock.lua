-- The time of the node that owns a key.
-- KEYS  the key
return {now}
