-- Let a guess begin: {1, whether address or browser is known}. Or {0} while others in flight decide, {-1, ms to wait}.
-- KEYS  ladder of the pair or of the browser, of the account for strangers, of all that is known to the account,
--       and the mark that the address is known
-- ARGV  name of the guess, ms of its lease, '1' for a browser that is known, free guesses of each ladder
-- A ladder: n failures, fr free again at, fo forgotten at (ms), and for each guess in flight t:<name>, its lease's end.
local known = ARGV[3] == '1' or redis.call('GET', KEYS[4])
local others = known and 3 or 2
local wait, busy = 0, false
for _, i in ipairs({1, others}) do
  local ladder, at, flying, failures = redis.call('HGETALL', KEYS[i]), {}, 0, 0
  for f = 1, #ladder, 2 do
    local field, value = ladder[f], tonumber(ladder[f + 1])
    if string.sub(field, 1, 2) ~= 't:' then at[field] = value
    elseif now < value then flying = flying + 1
    else redis.call('HDEL', KEYS[i], field) end
  end
  wait = math.max(wait, (at.fr or 0) - now)
  if now < (at.fo or 0) then failures = at.n end
  -- As many at once as there are free tries left; after those, one at a time.
  busy = busy or (flying > 0 and failures + flying >= tonumber(ARGV[3 + i]))
end
if wait > 0 then return {-1, wait} end
if busy then return {0} end
for _, i in ipairs({1, others}) do
  redis.call('HSET', KEYS[i], 't:' .. ARGV[1], now + tonumber(ARGV[2]))
  keep(KEYS[i], now + tonumber(ARGV[2]))
end
return {1, known and 1 or 0}
