-- Asks Farebox's gate whether a request may pass: `LuaHookAccessChecker farebox.lua ask_gate early`.

local socket = require "socket"

local HOST, PORT = "127.0.0.1", 8000
local SECRET = "change-me"

-- For the connection, and then for the whole answer.
local CONNECT_TIMEOUT_S = 1
local ANSWER_TIMEOUT_S = 4

local UNAVAILABLE = '{"isSuccess":false,"statusCode":503,"errorMessage":"The gate does not answer: ask again shortly.","data":null}'

-- The connection to the gate of this thread, which has this file's values to itself (LuaScope thread).
local kept = nil

local function connect()
    local connection = socket.tcp()
    connection:settimeout(CONNECT_TIMEOUT_S)
    if connection:connect(HOST, PORT) then
        connection:setoption("tcp-nodelay", true)
        return connection
    end
    connection:close()
    return nil
end

-- Returns status, headers by their names in lower case, and body; if there is no whole answer, nothing, and then why.
local function answer_of(connection, request)
    connection:settimeout(ANSWER_TIMEOUT_S, "t")
    local sent, why = connection:send(request)
    if not sent then
        return nil, nil, nil, why
    end
    local line
    line, why = connection:receive("*l")
    local status = line and tonumber(line:match("^HTTP/1%.1 (%d+)"))
    if not status then
        return nil, nil, nil, why
    end
    local headers = {}
    repeat
        line = connection:receive("*l")
        local name, value = (line or ""):match("^([^:]+): *(.-) *$")
        if name then
            headers[name:lower()] = value
        end
    until not line or line == ""
    local length = tonumber(headers["content-length"] or 0)
    local body = line and (length == 0 and "" or connection:receive(length))
    if not body then
        return nil, nil, nil, "broken"
    end
    return status, headers, body
end

-- Sends one request, over the connection that the last one left. What Apache hands over has no line breaks in it.
local function ask(asked)
    local lines = { "GET /gate/plain HTTP/1.1", "host: " .. HOST }
    for name, value in pairs(asked) do
        lines[#lines + 1] = name .. ": " .. value
    end
    local request = table.concat(lines, "\r\n") .. "\r\n\r\n"
    local connection, was_kept = kept or connect(), kept ~= nil
    kept = nil
    local status, headers, body, why
    if connection then
        status, headers, body, why = answer_of(connection, request)
    end
    if was_kept and why == "closed" then
        -- The gate had ended the kept connection. Its answer to the same request id is the same, and charges once.
        connection:close()
        connection = connect()
        if connection then
            status, headers, body = answer_of(connection, request)
        end
    end
    if status and headers["connection"] ~= "close" then
        kept = connection
    elseif connection then
        connection:close()
    end
    return status, headers, body
end

-- What the API is told is not the client's to say. The gaps between words may be others: X_Merchant_Id is X-Merchant-Id
-- where an API reads headers by the rules of CGI, as WSGI does.
local function take_away_what_is_ours(r)
    for _, word in ipairs{ "Merchant", "Transfer", "Hold", "Request" } do
        for _, first in ipairs{ "-", "_", "." } do
            for _, second in ipairs{ "-", "_", "." } do
                r.headers_in["X" .. first .. word .. second .. "Id"] = nil
            end
        end
    end
end

local function refuse(r, status, headers, body)
    r.status = status
    for _, name in ipairs{ "retry-after", "x-error-code", "allow", "www-authenticate", "cache-control" } do
        if headers[name] then
            r.err_headers_out[name] = headers[name]
        end
    end
    r.content_type = headers["content-type"] or "application/json"
    r:puts(body)
    return apache2.DONE
end

function ask_gate(r)
    take_away_what_is_ours(r)
    local status, headers, body = ask{
        ["x-gate-secret"] = SECRET,
        ["x-original-method"] = r.method,
        ["x-original-uri"] = r.unparsed_uri,
        ["x-request-id"] = r.subprocess_env["UNIQUE_ID"],
        -- Bad keys are limited by where they come from, if FAREBOX_TRUSTED_PROXIES names this proxy.
        ["x-forwarded-for"] = r.useragent_ip,
        ["x-api-key"] = r.headers_in["X-Api-Key"],
    }
    if status == 200 then
        r.notes["gate_token"] = headers["x-gate-token"]
        r.headers_in["X-Request-Id"] = r.subprocess_env["UNIQUE_ID"]
        r.headers_in["X-Merchant-Id"] = headers["x-merchant-id"]
        r.headers_in["X-Transfer-Id"] = headers["x-transfer-id"]
        r.headers_in["X-Hold-Id"] = headers["x-hold-id"]
        r.headers_in["X-Api-Key"] = nil
        return apache2.OK
    end
    if status and headers["x-error-code"] then
        return refuse(r, status, headers, body)
    end
    return refuse(r, 503, { ["retry-after"] = "2", ["x-error-code"] = "unavailable" }, UNAVAILABLE)
end
