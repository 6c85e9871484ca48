-- Look at a session without touching it.
-- KEYS  session, index, user
-- ARGV  sid, wide cut-off ms
local s = redis.call('HMGET', KEYS[1], 'st', 'ea', 'id', 'lu', 'ca', 'sub', 'ten', 'cid', 'at', 'amr', 'scp')
if not s[1] then return {} end
local user = redis.call('HMGET', KEYS[3], 'cut', 'dis')
local idle = number(s[3])
local active = s[1] == 'a' and now < number(s[2]) and (idle == 0 or now < number(s[4]) + idle)
  and number(s[5]) > math.max(number(user[1]), number(ARGV[2])) and user[2] ~= '1'
  and redis.call('ZSCORE', KEYS[2], ARGV[1])
return {active and 1 or 0, s[6], s[7] or '', s[8] or '', number(s[9]), s[10] or '', s[11] or ''}
