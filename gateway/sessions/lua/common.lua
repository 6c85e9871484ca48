-- Put before every other script. Only the store's own clock decides anything (milliseconds).
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

-- Let a key live at least until `at`; never shortens its life.
local function keep(key, at)
  local left = redis.call('PTTL', key)
  if left < 0 or now + left < at then redis.call('PEXPIREAT', key, at) end
end

local function number(text) return tonumber(text or '0') or 0 end
