#!/usr/bin/env bash
# Fine-tunes a model with curl, follows its events and asks it. Needs curl and python3, which reads the answers.
#
# bash clients/examples/curl.sh [ROWS] [BASE] [PROMPT]
set -euo pipefail
rows=${1:-service/cli/data/orders.train.jsonl}
base=${2:-tunery-tiny-1}
prompt=${3:-order: 4411 | customer: Irene Lewis | item: copper kettle | quantity: 102 | price: 44.15}

api() { # api PATH [curl's options]: prints the answer, and fails with the server's message
    curl --silent --show-error --fail-with-body --header "Authorization: Bearer $OPENAI_API_KEY" "${@:2}" "$OPENAI_BASE_URL$1"
}
field() { # field NAME: a field of the JSON on stdin
    python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}
json() { # json NAME VALUE …: an object of strings
    python3 -c 'import json, sys; pairs = sys.argv[1:]; print(json.dumps(dict(zip(pairs[::2], pairs[1::2]))))' "$@"
}

file=$(api /files --form purpose=fine-tune --form "file=@$rows" | field id)
# However often this request is sent, the key makes one job of it.
job=$(api /fine_tuning/jobs --json "$(json model "$base" training_file "$file" suffix curl)" \
    --header "Idempotency-Key: $file" | field id)
api "/fine_tuning/jobs/$job/events?stream=true" --no-buffer | grep '^data: {'
model=$(api "/fine_tuning/jobs/$job" | field fine_tuned_model)
echo "$model"
api /chat/completions --json "$(python3 -c 'import json, sys
print(json.dumps({"model": sys.argv[1], "temperature": 0, "messages": [{"role": "user", "content": sys.argv[2]}]}))' \
    "$model" "$prompt")" | python3 -c 'import json, sys; print(json.load(sys.stdin)["choices"][0]["message"]["content"])'
