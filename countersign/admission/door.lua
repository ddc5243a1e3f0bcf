-- The door in Redis: every question is one run of this script, so it is answered from one state and changes it at once.
-- Method for method and name for name this is `model.py`, which says what each does and why; a test compares the two
-- on random histories. Times are whole microseconds.
--
-- KEYS    1 room      sorted set: review -> until when its place is kept although Postgres does not show it
--         2 waiting   hash: tenant -> reviews in the room
--         3 flight    sorted set: review -> end of its lease
--         4 flying    hash: tenant -> leases
--         5 since     hash: review -> beginning of its lease
--         6 weights   hash: tenant with reviews in the room -> its weight, where that is not 1
--         7 held      set: tenants whose reviewers are overrun
--         8 pace      "count time last lease"
--         9 came      hash: tenant -> places taken in the room since it last held none but batches; '' -> since when
--         10 batch    set: reviews of batches in the room
--         11 behind   hash: tenant -> how many those are
--         12, 13, 14  of the one question: answer or strikes of the review, account of the user, and of the tenant
-- ARGV    1 question, 2 now ('' takes the server's time), 3 tenant, 4 review, 5 to 13 the bounds, then what is special

local SECOND = 1000000
local HOUR = 3600 * SECOND
local DAY = 24 * HOUR
local FRESH = 60 * SECOND
local LEASE = 15 * 60 * SECOND
local SLACK = 60 * SECOND  -- keys outlive their meaning by this, so that only the arithmetic decides

local MAX_LEVEL = 30
local PACE_MEMORY = 1 - 1 / 64
local PRIOR_RELEASES = 4
local LONGEST_PAUSE = 4
local LEASE_MEMORY = 1 / 16
local UNKNOWN_LEASE = 10 * SECOND
local PASSES = 2

local ROOM, WAITING, FLIGHT, FLYING = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local SINCE, WEIGHTS, HELD, PACE, CAME = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local BATCH, BEHIND = KEYS[10], KEYS[11]
local tenant, review = ARGV[3], ARGV[4]

local call, floor, max, min = redis.call, math.floor, math.max, math.min

local now = tonumber(ARGV[2])
if not now then
    local time = call('TIME')
    now = time[1] * SECOND + time[2]
end

local function bound(position) return tonumber(ARGV[4 + position]) end
local function user_per_hour() return bound(1) end
local function tenant_per_hour() return bound(2) end
local function abuse_strikes() return bound(3) end
local function cooldown() return bound(4) end
local function cooldown_cap() return bound(5) end
local function in_flight() return bound(6) end
local function weight() return bound(7) end
local function in_flight_all() return bound(8) end
local function room_size() return bound(9) end

local function whole(number) return string.format('%.0f', number) end
local function exact(number) return string.format('%.17g', number) end

local function numbers(key, pattern, default)
    return string.match(call('GET', key) or default, pattern)
end

-- A hash of numbers as a table.
local function table_of(key)
    local flat, found = call('HGETALL', key), {}
    for at = 1, #flat, 2 do found[flat[at]] = tonumber(flat[at + 1]) end
    return found
end

local function count_of(key, name) return tonumber(call('HGET', key, name) or 0) end

local function set_until(key, value, till)
    call('SET', key, value, 'PX', whole((max(till, now) - now + SLACK) / 1000))
end

local function tenant_of(name) return string.match(name, '^[^/]*') end

-- --- the state ---

local function read_user(key)
    local used_until, window, strikes, before, cooling_until, level =
        numbers(key, '(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)', '0 0 0 0 0 0')
    return {
        used_until = tonumber(used_until), window = tonumber(window), strikes = tonumber(strikes),
        before = tonumber(before), cooling_until = tonumber(cooling_until), level = tonumber(level),
    }
end

local function write_user(key, user)
    local till = max(user.used_until, (user.window + 2) * HOUR, user.cooling_until + cooldown_cap())
    local text = string.format('%.0f %.0f %.0f %.0f %.0f %.0f',
        user.used_until, user.window, user.strikes, user.before, user.cooling_until, user.level)
    set_until(key, text, till)
end

local function read_pace()
    local count, time, last, lease = numbers(PACE, '(%S+) (%S+) (%S+) (%S+)', '0 0 0 0')
    return {count = tonumber(count), time = tonumber(time), last = tonumber(last), lease = tonumber(lease)}
end

local function write_pace(pace)
    call('SET', PACE, string.format('%.17g %.17g %.0f %.17g', pace.count, pace.time, pace.last, pace.lease))
end

local function interval(pace, slots)
    if pace.count > 0 then return pace.time / pace.count end
    return (pace.lease > 0 and pace.lease or UNKNOWN_LEASE) / slots
end

local function rate() return SECOND / max(1, interval(read_pace(), in_flight_all())) end

local function remember(key, ahead) set_until(key, whole(now + DAY) .. ' ' .. whole(ahead), now + DAY) end

local function less(key, name)
    local left = call('HINCRBY', key, name, -1)
    if left <= 0 then call('HDEL', key, name) end
    return left
end

local function take_lease(of, name)
    call('ZADD', FLIGHT, whole(now + LEASE), name)
    call('HSET', SINCE, name, whole(now))
    call('HINCRBY', FLYING, of, 1)
end

local function give_lease(of, name)
    if call('ZREM', FLIGHT, name) == 0 then return false end
    call('HDEL', SINCE, name)
    less(FLYING, of)
    return true
end

local function leave_room(of, name)
    if call('ZREM', ROOM, name) == 0 then return end
    if less(WAITING, of) <= 0 then call('HDEL', WEIGHTS, of) end
    if call('SREM', BATCH, name) == 1 then less(BEHIND, of) end
end

local function expire()
    for _, name in ipairs(call('ZRANGE', FLIGHT, '-inf', whole(now), 'BYSCORE')) do give_lease(tenant_of(name), name) end
end

local function is_free()
    return call('ZCARD', FLIGHT) < in_flight_all() and count_of(FLYING, tenant) < in_flight()
end

local function somebody_waits()
    local going = call('ZCARD', ROOM)
    if going > 0 then
        for _, name in ipairs(call('SMEMBERS', HELD)) do going = going - count_of(WAITING, name) end
    end
    return going > 0
end

-- Those that somebody waits for.
local function but_for(waiting, batches)
    local left = {}
    for name, count in pairs(waiting) do
        local others = count - (batches[name] or 0)
        if others > 0 then left[name] = others end
    end
    return left
end

-- --- fair.py ---

local function expected_ahead(own, waiting, weights)
    local came = table_of(CAME)
    local pace, elapsed_s = rate(), max(1, now - (came[''] or 0)) / SECOND
    local turns = (own + 1) / weights[tenant]
    local others, there, coming, share = 0, {}, {}, {}
    for other, count in pairs(waiting) do
        if other ~= tenant then
            others = others + 1
            there[others], coming[others], share[others] = count, came[other] or 0, turns * (weights[other] or 1)
        end
    end
    for other, count in pairs(came) do
        if other ~= '' and other ~= tenant and not waiting[other] then
            others = others + 1
            there[others], coming[others], share[others] = 0, count, turns * (weights[other] or 1)
        end
    end
    local more, ahead = 0, 0
    for _ = 0, PASSES do
        ahead = own
        for at = 1, others do ahead = ahead + floor(min(there[at] + coming[at] * more, share[at]) + 0.5) end
        more = min(1, (ahead + 1) / pace / elapsed_s)
    end
    return ahead
end

local function turn_in(ahead, free) return max(0, ahead + 1 - free) / rate() end

local function place_in(waiting, weights)
    local own, total, all = waiting[tenant] or 0, 0, 0
    for other, count in pairs(waiting) do
        total, all = total + count, all + (weights[other] or 1)
    end
    local share = own > 0 and weights[tenant] / all or 0
    return max(1, (own + total + 1 - room_size()) / (1 + share) / rate())
end

-- --- accounts ---

local function charged(used_until, per_hour)
    local after = max(now, used_until) + floor(HOUR / per_hour)
    return after, after - now - HOUR
end

local function strike(user, strikes)
    if now < user.cooling_until then return end
    local window = floor(now / HOUR)
    if window ~= user.window then
        user.before = window == user.window + 1 and user.strikes or 0
        user.window, user.strikes = window, 0
    end
    user.strikes = user.strikes + min(strikes, abuse_strikes())
    if user.strikes * HOUR + user.before * (HOUR - now % HOUR) >= abuse_strikes() * HOUR then
        if now >= user.cooling_until + cooldown_cap() then user.level = 0 end
        user.cooling_until = now + min(cooldown() * 2 ^ user.level, cooldown_cap())
        user.level = min(user.level + 1, MAX_LEVEL)
        user.strikes, user.before = 0, 0
    end
end

-- place, refused, existing, ahead, estimate and retry in seconds, remaining, reset in microseconds
local function entry(user, answer)
    local used = max(0, user.used_until - now)
    local remaining, reset = floor((HOUR - used) / floor(HOUR / user_per_hour())), used
    local retry_s = answer.retry_s or 0
    if answer.refused == 'cooldown' then
        remaining, reset = 0, user.cooling_until - now
        retry_s = reset / SECOND
    end
    local estimate_s = 0
    if answer.place == 'room' then
        estimate_s = turn_in(answer.ahead, max(0, in_flight_all() - call('ZCARD', FLIGHT)))
    end
    return {
        answer.place or '', answer.refused or '', answer.existing and 1 or 0, answer.ahead or 0,
        exact(estimate_s), exact(retry_s), remaining, whole(reset),
    }
end

-- --- the questions ---

local questions = {}

function questions.enter()
    local ANSWER, USER, TENANT = KEYS[12], KEYS[13], KEYS[14]
    local running, of_batch = ARGV[14] == '1', ARGV[15] == '1'
    expire()
    local user = read_user(USER)
    local till, ahead = numbers(ANSWER, '(%d+) (%-?%d+)', '0 -1')
    local remembered = tonumber(till) > now
    ahead = tonumber(ahead)
    local flies, waits = call('ZSCORE', FLIGHT, review), call('ZSCORE', ROOM, review)
    if flies or (remembered and not waits and ahead < 0) then
        return entry(user, {place = 'flight', existing = true})
    end
    local waiting, before, weights, stored_weight
    local function read_room()
        waiting, weights = table_of(WAITING), table_of(WEIGHTS)
        stored_weight, weights[tenant] = weights[tenant], weight()
        before = of_batch and waiting or but_for(waiting, table_of(BEHIND))
    end
    if waits or remembered then
        read_room()
        local found = expected_ahead(max(0, (before[tenant] or 0) - 1), before, weights)
        if remembered and ahead >= 0 then found = min(found, ahead) end
        return entry(user, {place = 'room', existing = true, ahead = found})
    end

    if now < user.cooling_until then return entry(user, {refused = 'cooldown'}) end
    local of_user, wait_user = charged(user.used_until, user_per_hour())
    local of_tenant, wait_tenant = charged(tonumber(call('GET', TENANT) or 0), tenant_per_hour())
    if wait_user > 0 or wait_tenant > 0 then
        strike(user, 1)
        write_user(USER, user)
        local refused = wait_user > 0 and 'user_rate' or 'tenant_rate'
        local wait = wait_user > 0 and wait_user or wait_tenant
        if now < user.cooling_until then refused = 'cooldown' end
        return entry(user, {refused = refused, retry_s = wait / SECOND})
    end

    ahead = -1
    local total = call('ZCARD', ROOM)
    local lease = running and total == 0 and call('SISMEMBER', HELD, tenant) == 0 and is_free()
    if lease then
        take_lease(tenant, review)
    else
        read_room()
        local own = waiting[tenant] or 0
        if own >= room_size() - total then
            return entry(user, {refused = 'room', retry_s = place_in(waiting, weights)})
        end
        if not of_batch and total == call('SCARD', BATCH) then
            call('DEL', CAME)
            call('HSET', CAME, '', whole(now))
        end
        ahead = expected_ahead(before[tenant] or 0, before, weights)
        if of_batch then
            call('SADD', BATCH, review)
            call('HINCRBY', BEHIND, tenant, 1)
        else
            call('HINCRBY', CAME, tenant, 1)
        end
        call('ZADD', ROOM, whole(now + FRESH), review)
        call('HINCRBY', WAITING, tenant, 1)
        if weight() ~= 1 then
            call('HSET', WEIGHTS, tenant, exact(weight()))
        elseif stored_weight then
            call('HDEL', WEIGHTS, tenant)
        end
    end
    user.used_until = of_user
    write_user(USER, user)
    set_until(TENANT, whole(of_tenant), of_tenant)
    remember(ANSWER, ahead)
    return entry(user, {place = lease and 'flight' or 'room', ahead = max(0, ahead)})
end

function questions.leave()
    leave_room(tenant, review)
    give_lease(tenant, review)
    call('DEL', KEYS[12])
end

function questions.grant()
    expire()
    if call('ZSCORE', FLIGHT, review) then return 1 end
    if not is_free() then return 0 end
    leave_room(tenant, review)
    take_lease(tenant, review)
    remember(KEYS[12], -1)
    return 1
end

function questions.renew()
    expire()
    if not call('ZSCORE', FLIGHT, review) then
        leave_room(tenant, review)
        call('HINCRBY', FLYING, tenant, 1)
        remember(KEYS[12], -1)
    end
    call('ZADD', FLIGHT, whole(now + LEASE), review)
end

function questions.release()
    expire()
    leave_room(tenant, review)
    local since = call('HGET', SINCE, review)
    if not give_lease(tenant, review) then return end
    local pace = read_pace()
    if since then
        local lease = now - since
        pace.lease = pace.lease > 0 and pace.lease + (lease - pace.lease) * LEASE_MEMORY or lease
    end
    if pace.last > 0 then
        local usual = interval(pace, in_flight_all())
        if pace.count == 0 then pace.count, pace.time = PRIOR_RELEASES, PRIOR_RELEASES * usual end
        local pause = min(now - pace.last, LONGEST_PAUSE * in_flight_all() * usual)
        pace.count = pace.count * PACE_MEMORY + 1
        pace.time = pace.time * PACE_MEMORY + pause
    end
    pace.last = somebody_waits() and now or 0
    write_pace(pace)
end

function questions.strike()
    local STRUCK, USER = KEYS[12], KEYS[13]
    local strikes = tonumber(ARGV[14])
    if strikes > 0 and tonumber(call('GET', STRUCK) or 0) <= now then
        set_until(STRUCK, whole(now + DAY), now + DAY)
        local user = read_user(USER)
        strike(user, strikes)
        write_user(USER, user)
    end
end

-- ARGV from 3: number of held tenants, the tenants; number of weights, tenant and weight in turn; number of
-- reviews of batches shown, those reviews; the other reviews shown.
function questions.sync()
    expire()
    local at = 3
    local function take()
        at = at + 1
        return ARGV[at - 1]
    end
    call('DEL', HELD)
    for _ = 1, tonumber(take()) do call('SADD', HELD, take()) end
    local known = table_of(WEIGHTS)
    for _ = 1, tonumber(take()) do
        local name = take()
        known[name] = tonumber(take())
    end
    local shown, of_batches, had = {}, {}, {}
    for _ = 1, tonumber(take()) do of_batches[take()] = true end
    for name in pairs(of_batches) do shown[name] = true end
    for position = at, #ARGV do shown[ARGV[position]] = true end
    for _, name in ipairs(call('SMEMBERS', BATCH)) do had[name] = true end
    for _, name in ipairs(call('ZRANGE', ROOM, '-inf', whole(now), 'BYSCORE')) do
        if not shown[name] then call('ZREM', ROOM, name) end
    end
    for name in pairs(shown) do
        if not call('ZSCORE', FLIGHT, name) then call('ZADD', ROOM, whole(now), name) end
    end
    local waiting = {}
    call('DEL', BATCH, BEHIND)
    for _, name in ipairs(call('ZRANGE', ROOM, 0, -1)) do
        if of_batches[name] or (had[name] and not shown[name]) then
            call('SADD', BATCH, name)
            call('HINCRBY', BEHIND, tenant_of(name), 1)
        end
        local of = tenant_of(name)
        waiting[of] = (waiting[of] or 0) + 1
    end
    call('DEL', WAITING, WEIGHTS)
    for name, count in pairs(waiting) do
        call('HSET', WAITING, name, count)
        if known[name] and known[name] ~= 1 then call('HSET', WEIGHTS, name, exact(known[name])) end
    end
    if not somebody_waits() then
        local pace = read_pace()
        if pace.last > 0 then
            pace.last = 0
            write_pace(pace)
        end
    end
end

function questions.standing()
    expire()
    return {call('HGETALL', FLYING), call('HGETALL', WAITING), exact(rate()), call('HGETALL', BEHIND)}
end

return questions[ARGV[1]]()
