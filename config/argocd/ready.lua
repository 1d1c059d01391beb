-- Health of a Playbook or a TrustPolicy for Argo CD: Healthy if it may be used, Suspended if its annotation says so, Degraded if
-- it is refused or lacks something, because then it refuses all that it is about.
if ready == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not looked at this version yet"}
end
if ready.status == "True" then
  return {status = "Healthy", message = ready.message}
end
if ready.reason == "Suspended" then
  return {status = "Suspended", message = ready.message}
end
if conditions.Stalled ~= nil and conditions.Stalled.status == "True" then
  return {status = "Degraded", message = ready.reason .. ": " .. ready.message}
end
return {status = "Progressing", message = ready.reason .. ": " .. ready.message}
