-- One circuit in Redis: every question is one run of this script, so it is answered from one state and changes it at
-- once. Field for field and name for name this is `model.py`, which says what each does and why; a test compares the two
-- on random histories. Times are whole microseconds of the circuit's own clock, which never goes back.
--
-- KEYS    1 known     set: names of all circuits
--         2 circuit   hash: the fields of `Circuit`, and `window`: "number calls failures slow;" for each bucket
--         3 ends      sorted set: call in flight -> when it counts as stalled
--         4 calls     hash: call in flight -> "epoch cuts probe"
-- ARGV    1 question, 2 now ('' takes the server's time), 3 chance, 4 name, 5 to 21 the rules, then what is special

local SECOND = 1000000
local MAX_LEVEL = 30
local PACE_MEMORY = 1 / 8
local LONGEST_TURN = 30 * SECOND
local SHORTEST_TURN = SECOND
local HELD = 60 * SECOND
local KEPT_MS = 30 * 24 * 3600 * 1000  -- a circuit that nobody asks is forgotten after this

local KNOWN, CIRCUIT, ENDS, CALLS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local call, floor, max, min = redis.call, math.floor, math.max, math.min

if ARGV[1] == 'names' then return call('SMEMBERS', KNOWN) end

local wall = tonumber(ARGV[2])
if not wall then
    local time = call('TIME')
    wall = time[1] * SECOND + time[2]
end
local chance, name = tonumber(ARGV[3]), ARGV[4]

local rules = {}
for at, rule in ipairs({
    'bucket', 'buckets', 'min_calls', 'failure_rate', 'slow', 'slow_rate', 'open', 'open_cap', 'jitter', 'probes',
    'closes_after', 'stall', 'limit_max', 'limit_min', 'shrink', 'grow', 'retry_cap',
}) do rules[rule] = tonumber(ARGV[4 + at]) end
local SPECIAL = 22

local function exact(number) return string.format('%.17g', number) end
local function whole(number) return string.format('%.0f', number) end

-- --- the state ---

local NUMBERS = {
    'since', 'seen', 'offset', 'epoch', 'until', 'held', 'level', 'wins', 'slows', 'limit', 'cuts', 'retry_at', 'mean',
    'opened_at', 'reset_at', 'admitted', 'refused', 'success', 'failure', 'ignored', 'throttled', 'stalled',
    'to_closed', 'to_open', 'to_half_open',
}
local TEXTS = {'state', 'opened_by', 'opened_why', 'reset_by', 'reset_why'}

local c, window, transitions = nil, {}, {}

local function read()
    local flat = call('HGETALL', CIRCUIT)
    if #flat == 0 then return false end
    c = {}
    for at = 1, #flat, 2 do c[flat[at]] = flat[at + 1] end
    for _, field in ipairs(NUMBERS) do c[field] = tonumber(c[field]) end
    for number, calls, failures, slow in string.gmatch(c.window, '(%d+) (%d+) (%d+) (%d+);') do
        window[tonumber(number)] = {calls = tonumber(calls), failures = tonumber(failures), slow = tonumber(slow)}
    end
    return true
end

local function new()
    c = {}
    for _, field in ipairs(NUMBERS) do c[field] = 0 end
    for _, field in ipairs(TEXTS) do c[field] = '' end
    c.state, c.since, c.seen = 'closed', wall, wall
    call('SADD', KNOWN, name)
end

local function write()
    local flat = {}
    for _, field in ipairs(NUMBERS) do
        flat[#flat + 1] = field
        flat[#flat + 1] = exact(c[field])
    end
    for _, field in ipairs(TEXTS) do
        flat[#flat + 1] = field
        flat[#flat + 1] = c[field]
    end
    local parts = {}
    for number, bucket in pairs(window) do
        parts[#parts + 1] = string.format('%.0f %.0f %.0f %.0f;', number, bucket.calls, bucket.failures, bucket.slow)
    end
    flat[#flat + 1] = 'window'
    flat[#flat + 1] = table.concat(parts)
    call('HSET', CIRCUIT, unpack(flat))
    -- What a person holds open stays so, however long nobody asks.
    if c.held == 1 then call('PERSIST', CIRCUIT) else call('PEXPIRE', CIRCUIT, KEPT_MS) end
    call('PEXPIRE', ENDS, KEPT_MS)
    call('PEXPIRE', CALLS, KEPT_MS)
end

local function lease_of(token)
    local epoch, cuts, probe = string.match(call('HGET', CALLS, token), '(%d+) (%d+) (%d)')
    return {epoch = tonumber(epoch), cuts = tonumber(cuts), probe = probe == '1'}
end

-- The lease, which is given back; nothing if it has ended or stalled already.
local function pop(token)
    if call('ZREM', ENDS, token) == 0 then return nil end
    local lease = lease_of(token)
    call('HDEL', CALLS, token)
    return lease
end

-- How many probes are in flight, and when the first of them counts as stalled.
local function probes()
    local count, first = 0, nil
    local flat = call('ZRANGE', ENDS, 0, -1, 'WITHSCORES')
    for at = 1, #flat, 2 do
        if lease_of(flat[at]).probe then
            count = count + 1
            first = first or tonumber(flat[at + 1])
        end
    end
    return count, first
end

-- --- parts ---

local function turn(at, after, why)
    transitions[#transitions + 1] = c.state
    transitions[#transitions + 1] = after
    transitions[#transitions + 1] = why
    if after ~= c.state then
        c.since = at
        if after == 'closed' then c.to_closed = c.to_closed + 1 end
        if after == 'open' then c.to_open = c.to_open + 1 end
        if after == 'half-open' then c.to_half_open = c.to_half_open + 1 end
    end
    c.state = after
    c.epoch = c.epoch + 1
    c['until'], c.held, c.wins, c.slows, window = 0, 0, 0, 0, {}
end

local function trip(at, why)
    if c.state == 'closed' and at >= c.since + rules.bucket * rules.buckets then c.level = 0 end
    c.level = min(c.level + 1, MAX_LEVEL)
    turn(at, 'open', why)
    local open = min(rules.open * 2 ^ (c.level - 1), rules.open_cap)
    c['until'] = at + max(1, floor(open * (1 - rules.jitter * chance)))
    c.opened_at, c.opened_by, c.opened_why = at, 'breaker', why
end

local function sums()
    local calls, failures, slow = 0, 0, 0
    for _, bucket in pairs(window) do
        calls, failures, slow = calls + bucket.calls, failures + bucket.failures, slow + bucket.slow
    end
    return calls, failures, slow
end

local function judge(at)
    local oldest = floor(at / rules.bucket) - rules.buckets
    for number in pairs(window) do
        if number <= oldest then window[number] = nil end
    end
    local calls, failures, slow = sums()
    if c.state ~= 'closed' or calls < rules.min_calls then return end
    if failures >= rules.failure_rate * calls then
        trip(at, string.format('%.0f of %.0f calls failed', failures, calls))
    elseif slow >= rules.slow_rate * calls then
        trip(at, string.format('%.0f of %.0f calls were slow', slow, calls))
    end
end

local function bucket_of(at)
    local number = floor(at / rules.bucket)
    window[number] = window[number] or {calls = 0, failures = 0, slow = 0}
    return window[number]
end

local function succeeded(at, lease, slow)
    if lease.epoch ~= c.epoch then return end
    if c.state == 'closed' then
        local bucket = bucket_of(at)
        bucket.calls = bucket.calls + 1
        if slow then bucket.slow = bucket.slow + 1 end
        judge(at)
        return
    end
    if slow then c.slows = c.slows + 1 else c.wins = c.wins + 1 end
    local tried = c.wins + c.slows
    if tried >= rules.closes_after then
        if c.slows >= rules.slow_rate * tried then
            trip(at, string.format('%.0f of %.0f probes were slow', c.slows, tried))
        else
            turn(at, 'closed', string.format('%.0f probes succeeded', tried))
        end
    end
end

local function failed(at, lease, why)
    if lease.epoch ~= c.epoch then return end
    if c.state == 'closed' then
        local bucket = bucket_of(at)
        bucket.calls, bucket.failures = bucket.calls + 1, bucket.failures + 1
        judge(at)
    else
        trip(at, why)
    end
end

-- The time of the circuit's clock, once what stalled is counted and old calls are let go.
local function look()
    local now = wall + c.offset
    if now < c.seen then
        c.offset = c.offset + (c.seen - now)
        now = c.seen
    end
    c.limit = min(rules.limit_max, max(rules.limit_min, c.limit ~= 0 and c.limit or rules.limit_max))
    local flat = call('ZRANGE', ENDS, '-inf', whole(now), 'BYSCORE', 'WITHSCORES')
    for at = 1, #flat, 2 do
        c.stalled = c.stalled + 1
        failed(tonumber(flat[at + 1]), pop(flat[at]), 'a probe stalled')
    end
    c.seen = now
    judge(now)
    return now
end

local function spread(wait) return wait + floor((SECOND + floor(wait / 10)) * chance) end

-- refused, probe, wait, held, held for
local function refuse(refused, wait, held, held_for)
    c.refused = c.refused + 1
    return {refused, 0, whole(wait), held and 1 or 0, whole(held_for or 0)}
end

local function refuse_open(now)
    local probe_at = max(c['until'], c.retry_at)
    if c.held == 0 then return refuse('open', spread(probe_at - now)) end
    if c['until'] == 0 then return refuse('open', spread(HELD), true, 0) end
    return refuse('open', spread(min(HELD, probe_at - now)), true, max(1, c['until'] - now))
end

-- --- the questions ---

local questions = {}

function questions.admit()
    local token = ARGV[SPECIAL]
    local now = look()
    if c.state == 'open' and (c['until'] > 0 or c.held == 0) and now >= max(c['until'], c.retry_at) then
        turn(now, 'half-open', 'its open time is over')
    end
    if c.state == 'open' then return refuse_open(now) end
    if now < c.retry_at then return refuse('throttled', spread(c.retry_at - now)) end
    local probe = c.state == 'half-open'
    if probe then
        local count, first = probes()
        if count >= rules.probes then return refuse('open', spread(min(first - now, rules.open))) end
    elseif call('ZCARD', ENDS) >= floor(c.limit) then
        return refuse('throttled', floor(max(SHORTEST_TURN, min(c.mean, LONGEST_TURN)) * (0.5 + chance)))
    end
    call('ZADD', ENDS, whole(now + rules.stall), token)
    call('HSET', CALLS, token, string.format('%.0f %.0f %d', c.epoch, c.cuts, probe and 1 or 0))
    c.admitted = c.admitted + 1
    return {'', probe and 1 or 0, '0', 0, '0'}
end

function questions.beat()
    local token = ARGV[SPECIAL]
    local now = look()
    if not call('ZSCORE', ENDS, token) then return {0} end
    call('ZADD', ENDS, whole(now + rules.stall), token)
    return {1}
end

-- special: token, kind, how long it took, Retry-After or 0
function questions.done()
    local token, kind = ARGV[SPECIAL], ARGV[SPECIAL + 1]
    local taken, retry_after = tonumber(ARGV[SPECIAL + 2]), tonumber(ARGV[SPECIAL + 3])
    local now = look()
    local lease = pop(token)
    if not lease then return {0} end
    c[kind] = c[kind] + 1
    if kind == 'success' then
        c.mean = c.mean > 0 and c.mean + (taken - c.mean) * PACE_MEMORY or taken
        if c.state == 'closed' and lease.cuts == c.cuts then
            c.limit = min(rules.limit_max, c.limit + rules.grow / c.limit)
        end
        succeeded(now, lease, taken > rules.slow)
    elseif kind == 'failure' then
        failed(now, lease, 'a probe failed')
    elseif kind == 'throttled' and lease.cuts == c.cuts then
        c.limit = max(rules.limit_min, c.limit * rules.shrink)
        c.cuts = c.cuts + 1
    end
    if (kind == 'failure' or kind == 'throttled') and retry_after > 0 then
        c.retry_at = max(c.retry_at, now + min(retry_after, rules.retry_cap))
    end
    return {1}
end

-- special: by whom, why, for how long (0: until a reset)
function questions.open()
    local duration = tonumber(ARGV[SPECIAL + 2])
    local now = look()
    turn(now, 'open', 'by hand')
    c['until'] = duration > 0 and now + duration or 0
    c.held = 1
    c.opened_at, c.opened_by, c.opened_why = now, ARGV[SPECIAL], ARGV[SPECIAL + 1]
    return {}
end

-- special: by whom, why
function questions.reset()
    local now = look()
    turn(now, 'closed', 'reset by hand')
    c.level, c.retry_at, c.mean, c.limit, c.cuts = 0, 0, 0, rules.limit_max, c.cuts + 1
    c.reset_at, c.reset_by, c.reset_why = now, ARGV[SPECIAL], ARGV[SPECIAL + 1]
    return {}
end

-- The fields as they are in the hash, but for the window, which is summed up; what is not kept: in flight, probes.
function questions.standing()
    look()
    local calls, failures, slow = sums()
    local answer = {
        'calls', exact(calls), 'failures', exact(failures), 'slow', exact(slow),
        'in_flight', exact(call('ZCARD', ENDS)), 'probes', exact((probes())),
    }
    for _, field in ipairs(NUMBERS) do
        answer[#answer + 1] = field
        answer[#answer + 1] = exact(c[field])
    end
    for _, field in ipairs(TEXTS) do
        answer[#answer + 1] = field
        answer[#answer + 1] = c[field]
    end
    return answer
end

local question = ARGV[1]
if not read() then
    if question == 'standing' then call('SREM', KNOWN, name) end
    if question == 'standing' or question == 'beat' or question == 'done' then return {{}, {}} end
    new()
end
local answer = questions[question]()
write()
return {answer, transitions}
