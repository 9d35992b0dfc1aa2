-- Asks Farebox's gate whether a request may pass: `http-request lua.ask_gate URL SECRET`. Only if it may, txn.gate_merchant is set.

-- Longer than HAProxy itself waits for the gate.
local TIMEOUT_MS = 6000

local function value_of(headers, name)
    local values = headers and headers[name]
    return values and values[0] or "-"
end

core.register_action("ask_gate", { "http-req" }, function(txn, url, secret)
    local asked = {
        ["x-gate-secret"] = { secret },
        ["x-original-method"] = { txn.sf:method() },
        ["x-original-uri"] = { txn.sf:pathq() },
        ["x-request-id"] = { txn.sf:unique_id() },
        -- Bad keys are limited by where they come from, if FAREBOX_TRUSTED_PROXIES names this proxy.
        ["x-forwarded-for"] = { txn.sf:src() },
    }
    -- Every one of them: where there are two, it is for the gate to refuse.
    local keys = {}
    local given = txn.http:req_get_headers()["x-api-key"]
    if given then
        for number = 0, #given do
            keys[#keys + 1] = given[number]
        end
        asked["x-api-key"] = keys
    end

    local answer = core.httpclient():get{ url = url, headers = asked, timeout = TIMEOUT_MS }

    if answer.status == 200 then
        txn:set_var("txn.gate_token", value_of(answer.headers, "x-gate-token"))
        txn:set_var("txn.gate_merchant", value_of(answer.headers, "x-merchant-id"))
        txn:set_var("txn.gate_transfer", value_of(answer.headers, "x-transfer-id"))
        txn:set_var("txn.gate_hold", value_of(answer.headers, "x-hold-id"))
    elseif answer.headers and answer.headers["x-error-code"] then
        local reply = txn:reply{ status = answer.status, body = answer.body }
        for _, name in ipairs{ "content-type", "retry-after", "x-error-code", "allow", "www-authenticate", "cache-control" } do
            if answer.headers[name] then
                reply:add_header(name, answer.headers[name][0])
            end
        end
        txn:done(reply)
    end
end, 2)
