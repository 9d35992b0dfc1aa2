-- Asks Farebox's gate whether a request may pass: `LuaHookAccessChecker farebox.lua ask_gate early`.

local http = require "socket.http"
local ltn12 = require "ltn12"
local socket = require "socket"

local URL = "http://127.0.0.1:8000/gate/plain"
local SECRET = "change-me"

local CONNECT_TIMEOUT_S = 1
local ANSWER_TIMEOUT_S = 4

local UNAVAILABLE = '{"isSuccess":false,"statusCode":503,"errorMessage":"The gate does not answer: ask again shortly.","data":null}'

local function connect()
    local connection = socket.tcp()
    local limited = {}
    function limited:connect(host, port)
        connection:settimeout(CONNECT_TIMEOUT_S)
        local is_connected, problem = connection:connect(host, port)
        connection:settimeout(nil, "b")
        connection:settimeout(ANSWER_TIMEOUT_S, "t")
        return is_connected, problem
    end
    -- The library sets a limit of its own.
    function limited:settimeout()
        return 1
    end
    return setmetatable(limited, {
        __index = function(_, name)
            return function(_, ...)
                return connection[name](connection, ...)
            end
        end,
    })
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

function ask_gate(r)
    take_away_what_is_ours(r)
    local parts = {}
    local is_answered, status, headers = http.request{
        url = URL,
        headers = {
            ["x-gate-secret"] = SECRET,
            ["x-original-method"] = r.method,
            ["x-original-uri"] = r.unparsed_uri,
            ["x-request-id"] = r.subprocess_env["UNIQUE_ID"],
            -- Bad keys are limited by where they come from, if FAREBOX_TRUSTED_PROXIES names this proxy.
            ["x-forwarded-for"] = r.useragent_ip,
            ["x-api-key"] = r.headers_in["X-Api-Key"],
        },
        create = connect,
        redirect = false,
        sink = ltn12.sink.table(parts),
    }
    if is_answered and status == 200 then
        r.notes["gate_token"] = headers["x-gate-token"]
        r.headers_in["X-Request-Id"] = r.subprocess_env["UNIQUE_ID"]
        r.headers_in["X-Merchant-Id"] = headers["x-merchant-id"]
        r.headers_in["X-Transfer-Id"] = headers["x-transfer-id"]
        r.headers_in["X-Hold-Id"] = headers["x-hold-id"]
        r.headers_in["X-Api-Key"] = nil
        return apache2.OK
    end
    if is_answered and headers["x-error-code"] then
        return refuse(r, status, headers, table.concat(parts))
    end
    return refuse(r, 503, { ["retry-after"] = "2", ["x-error-code"] = "unavailable" }, UNAVAILABLE)
end
