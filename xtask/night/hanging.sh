#!/usr/bin/env bash
# Sends heartbeats while it works. In the fourth minute it hangs for good; its next runs are well. In the eighth minute it hangs, and comes back.
. "$(dirname "$0")/common.sh"
while until_minute; do
    run="hanging-$(date +%s)"
    report hanging "{\"status\":\"running\",\"run_id\":\"$run\"}"
    sleep 4
    heartbeat hanging "{\"run_id\":\"$run\",\"progress\":{\"done\":1,\"total\":3,\"message\":\"reading\"}}"
    case "$(minute)" in
        4) continue ;;
        8) sleep 45 ;;
    esac
    sleep 4
    report hanging "{\"status\":\"success\",\"run_id\":\"$run\"}"
done
