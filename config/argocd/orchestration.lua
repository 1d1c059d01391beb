-- Health of a run for Argo CD. What waits for people is Suspended and says for whom; what ended as its object says it should is
-- Healthy, also when people said no: `Ready` is the word that counts.
local waits_for_people = {
  NoPlaybook = true, AwaitingApproval = true, AutoNotAllowed = true, AwaitingRelease = true, Suspended = true, Frozen = true,
}
if ready == nil then
  return {status = "Progressing", message = "the operator has not looked at it yet"}
end
if conditions.Stalled ~= nil and conditions.Stalled.status == "True" then
  return {status = "Degraded", message = ready.reason .. ": " .. ready.message}
end
if obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not looked at the change yet; before: " .. ready.message}
end
if ready.status == "True" then
  return {status = "Healthy", message = ready.message}
end
if waits_for_people[ready.reason] then
  return {status = "Suspended", message = ready.reason .. ": " .. ready.message}
end
return {status = "Progressing", message = ready.reason .. ": " .. ready.message}
