-- Health of a Gate for Argo CD. An open one is Suspended. Only an approved one is Healthy: the next wave of a sync waits for
-- that, and a Gate that was rejected, or expired, must hold it back, although nothing is wrong with the Gate itself.
local state = obj.status ~= nil and obj.status.state or "Open"
local message = ready ~= nil and ready.message or "nobody has decided yet"
if state == "Approved" then
  return {status = "Healthy", message = message}
end
if state == "Open" then
  return {status = "Suspended", message = message}
end
return {status = "Degraded", message = state .. ": " .. message}
