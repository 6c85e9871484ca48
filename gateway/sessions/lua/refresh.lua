-- Spend a refresh token whose MAC is already known to be ours. The state table is in outcomes.py.
-- KEYS  session, index, user
-- ARGV  sid, sha256(family), counter, grace ms, lost-response window ms, accept ahead ('1'), tombstone ms,
--       binding ('' for none), wide cut-off ms, grants
local s = redis.call('HMGET', KEYS[1], 'st', 'h', 'n', 'p', 'ra', 'cf', 'ea', 'id', 'ca', 'cnf', 'lu',
  'sub', 'ten', 'cid', 'at', 'amr', 'scp', 'rr')
local user = redis.call('HMGET', KEYS[3], 'cut', 'dis', 'last', 'gr')
local ends, idle = number(s[7]), number(s[8])

-- Dead sessions leave a tombstone, for as long as an access token of theirs can live.
local function bury(state, reason)
  redis.call('HSET', KEYS[1], 'st', state, 'rr', reason)
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('PEXPIREAT', KEYS[1], now + tonumber(ARGV[7]))
end

if not s[1] or s[2] ~= ARGV[2] then return {'unknown'} end                                              -- row 1
if s[1] ~= 'a' then return {'revoked', s[18] or s[1]} end                                               -- row 2
if now >= ends or (idle > 0 and now >= number(s[11]) + idle) then return {'expired'} end                -- row 3
if (s[10] or '') ~= ARGV[8] then return {'binding'} end                                                 -- row 4
if user[2] == '1' then bury('r', 'disabled') return {'disabled'} end                                    -- row 5
local cut = math.max(number(user[1]), number(ARGV[9]))
if number(s[9]) <= cut then bury('r', 'cut') return {'revoked', 'cut'} end
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then bury('r', 'evicted') return {'revoked', 'evicted'} end

local c, n, p, rotated = tonumber(ARGV[3]), tonumber(s[3]), tonumber(s[4]), number(s[5])
local grace, window = tonumber(ARGV[4]), tonumber(ARGV[5])
local age = now - rotated
local within_grace = grace > 0 and rotated > 0 and age < grace
local outcome
if c == n and not within_grace then                                                                     -- row 6
  outcome, p, n = 'rotated', n, n + 1
  redis.call('HSET', KEYS[1], 'n', n, 'p', p, 'ra', now, 'cf', 0)
elseif c == n then                                                                                      -- row 7
  outcome = 'coalesced'
  redis.call('HSET', KEYS[1], 'cf', 1)
elseif c == p and within_grace then                                                                     -- row 8
  outcome = 'replayed'
elseif c == p and s[6] == '0' and window > 0 and age < window then                                      -- row 9
  outcome, n = 'forked', n + 1
  redis.call('HSET', KEYS[1], 'n', n, 'ra', now)
elseif c > n and ARGV[6] == '1' then                                                                    -- row 10
  outcome, p, n = 'healed', c, c + 1
  redis.call('HSET', KEYS[1], 'n', n, 'p', p, 'ra', now, 'cf', 0)
elseif c > n then
  return {'ahead'}
else                                                                                                    -- row 11
  bury('x', 'reuse')
  return {'reused', n, age}
end

local dies = ends
if idle > 0 then dies = math.min(ends, now + idle) end
local stamp = math.max(now, cut + 1)
redis.call('HSET', KEYS[1], 'lu', now)
redis.call('PEXPIREAT', KEYS[1], dies)
redis.call('ZADD', KEYS[2], 'XX', dies, ARGV[1])
-- `last` lets a revoke-all reach every stamp ever given out, also after the store's clock was set back.
redis.call('HSET', KEYS[3], 'last', math.max(stamp, number(user[3])), 'gr', ARGV[10])
keep(KEYS[3], ends + 60000)
return {outcome, n, stamp, ends, dies, user[4] or ARGV[10],
  s[12], s[13] or '', s[14] or '', number(s[15]), s[16] or '', s[17] or ''}
