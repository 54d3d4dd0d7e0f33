#!/usr/bin/env bash
# On a spot node of AWS: waits for the notice that the node is about to be taken back, then has Ray drain it. From then
# on its death is a preemption to Ray, and the scheduler gives its scenes to another node without counting an attempt.
#
#   spot_notice.sh HEAD_IP:6379
set -euo pipefail

head=$1
metadata=${SPOT_METADATA:-http://169.254.169.254/latest}
deadline_s=110    # AWS gives two minutes, less what the polling takes

notice() {
    local session
    session=$(curl -sf -m 5 -X PUT "$metadata/api/token" -H 'X-aws-ec2-metadata-token-ttl-seconds: 60') || return 1
    curl -sf -m 5 -H "X-aws-ec2-metadata-token: $session" "$metadata/meta-data/spot/instance-action" > /dev/null
}

until notice; do sleep 5; done
node=$(python -c 'import ray; ray.init("auto", log_to_driver=False); print(ray.get_runtime_context().get_node_id())' \
    2> /dev/null | tail -n 1)
ray drain-node --address "$head" --node-id "$node" --reason DRAIN_NODE_REASON_PREEMPTION \
    --reason-message 'spot instance taken back' --deadline-remaining-seconds "$deadline_s"
