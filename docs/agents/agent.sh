#!/bin/sh
# An agent in a few lines: claims a task, reports, runs a command with the lease as JSON on its stdin, completes the task with what it prints.
# Usage: agent.sh http://127.0.0.1:8080 AGENT-ID CAPABILITY COMMAND
set -u
url=$1 agent=$2 capability=$3 command=$4
call() { curl -sS --fail-with-body -H 'Content-Type: application/json' -d "$2" "$url/fleet.v1.$1"; }
report() { call Dispatcher/ReportTasks "{\"agentId\":\"$agent\",\"reports\":[{$lease,$1}]}"; echo; }
while :; do
  claimed=$(call Dispatcher/ClaimTasks "{\"agentId\":\"$agent\",\"capabilities\":[\"$capability\"],\"wait\":\"30s\"}") || { sleep 5; continue; }
  lease=$(printf %s "$claimed" | sed -n 's/^{"leases":\[{\("taskId":"[^"]*","leaseEpoch":"[0-9]*"\).*/\1/p')
  [ -n "$lease" ] || continue
  report '"progress":{"percent":1,"message":"begun"}'
  while sleep 20; do call Health/Heartbeat "{\"agentId\":\"$agent\",\"held\":[{$lease}]}"; done >/dev/null & heartbeat=$!
  if output=$(printf %s "$claimed" | sh -c "$command"); then word=complete; else word=fail; fi
  kill "$heartbeat"
  report "\"$word\":{\"output\":{\"contentType\":\"text/plain\",\"data\":\"$(printf %s "$output" | base64 | tr -d '\n')\"}}"
done
