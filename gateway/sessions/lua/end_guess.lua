-- End a guess; one whose lease is over counts all the same.
-- KEYS  the mark that the address is known, then every ladder the guess stands on
-- ARGV  name of the guess, outcome (right, wrong, or '' when nothing was learnt), ms for which an address is known,
--       ms of the first delay, of the longest, and until any count is forgotten, then the free guesses of each ladder
local outcome = ARGV[2]
local first, longest, forget = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
for i = 2, #KEYS do
  local ladder = KEYS[i]
  redis.call('HDEL', ladder, 't:' .. ARGV[1])
  if outcome == 'right' then
    redis.call('HDEL', ladder, 'n', 'fr', 'fo')
  elseif outcome == 'wrong' then
    local count = redis.call('HMGET', ladder, 'n', 'fo')
    local failures, free = 1, 0
    if now < number(count[2]) then failures = failures + number(count[1]) end
    local steps = failures - tonumber(ARGV[5 + i])
    -- 2^30 is beyond any longest delay, and a number overflows far later.
    if steps >= 0 then free = now + math.min(first * 2 ^ math.min(steps, 30), longest) end
    local forgotten = now + math.min(failures * longest, forget)
    redis.call('HSET', ladder, 'n', failures, 'fr', free, 'fo', forgotten)
    keep(ladder, forgotten)
  end
end
if outcome == 'right' then redis.call('SET', KEYS[1], 1, 'PX', ARGV[3]) end
return {now}
