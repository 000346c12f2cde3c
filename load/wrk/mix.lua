-- Sends the requests of a list, one after the other, and counts what the answers say.
--
--   wrk -s load/wrk/mix.lua http://127.0.0.1:8888 -- <file of paths> <threads> [plain]
--
-- The API key of the environment's PROFILE_API_KEY is sent, where there is one.
-- With `plain` answers are not looked at, which spares wrk most of its work: hits, wrong and answers are then 0.
-- Threads start at different places of the list. The last line of the output is RESULT and JSON: times in
-- microseconds, counts over all threads. Checks are those of load/k6/lib/checks.js, but for which of the two
-- shapes was asked for, since wrk does not tell which request an answer belongs to.

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  threads[#threads + 1] = thread
end

local paths = {}
local requests = {}
local position = 0

-- Globals, since done() reads them from each thread.
hits = 0
wrong = 0
answers = 0

function init(args)
  if args[3] == "plain" then
    response = nil
  end
  for line in io.lines(args[1]) do
    paths[#paths + 1] = line
  end
  local key = os.getenv("PROFILE_API_KEY")
  if key then
    wrk.headers["Authorization"] = "Bearer " .. key
  end
  position = math.floor(#paths * number / tonumber(args[2]))
end

function request()
  position = position % #paths + 1
  local text = requests[position]
  if not text then
    text = wrk.format("GET", paths[position])
    requests[position] = text
  end
  return text
end

local function is_hit(header)
  header = header:gsub('"[^"]*"', "")
  for member in header:gmatch("[^,]+") do
    for parameter in member:gmatch(";%s*([^;]+)") do
      parameter = parameter:gsub("%s+$", "")
      if parameter == "hit" or parameter == "hit=?1" then
        return true
      end
    end
  end
  return false
end

function response(status, headers, body)
  answers = answers + 1
  local source = headers["Cache-Status"]
  if source and is_hit(source) then
    hits = hits + 1
  end
  if status ~= 200 or not source or not (body:sub(1, 2) == '{"' or body:sub(1, 3) == '[{"') then
    wrong = wrong + 1
  end
end

function done(summary, latency, _)
  local total = { answers = 0, hits = 0, wrong = 0 }
  for _, thread in ipairs(threads) do
    for name in pairs(total) do
      total[name] = total[name] + thread:get(name)
    end
  end
  local errors = summary.errors
  local fields = {
    { "duration_us", summary.duration },
    { "requests", summary.requests },
    { "bytes", summary.bytes },
    { "answers", total.answers },
    { "hits", total.hits },
    { "wrong", total.wrong },
    { "status_errors", errors.status },
    { "socket_errors", errors.connect + errors.read + errors.write },
    { "timeouts", errors.timeout },
    { "p50_us", latency:percentile(50) },
    { "p90_us", latency:percentile(90) },
    { "p95_us", latency:percentile(95) },
    { "p99_us", latency:percentile(99) },
    { "max_us", latency.max },
  }
  local parts = {}
  for _, field in ipairs(fields) do
    parts[#parts + 1] = string.format('"%s": %d', field[1], field[2])
  end
  io.write("RESULT {" .. table.concat(parts, ", ") .. "}\n")
end
