-- Let a disabled user log in again; the cut-off that ended their sessions stays.
-- KEYS  user
-- ARGV  retention ms
local was = redis.call('HDEL', KEYS[1], 'dis')
if was == 1 then redis.call('PEXPIREAT', KEYS[1], now + tonumber(ARGV[1])) end
return was
