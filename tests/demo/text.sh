#!/bin/sh
# The program of the agent `text`: counts in a file, or follows it until it is told to stop. No Python in it, to show that none is needed.
read -r task
path=$(printf '%s' "$task" | sed -n 's/.*"text": "\([^"]*\)".*/\1/p')
case "$task" in
*'"taskType": "follow"'*)
    echo '{"progress": 50, "message": "following"}'
    exec tail -f "$path"
    ;;
*)
    [ -r "$path" ] || { echo "cannot read ${path##*/}" >&2; exit 75; } # EX_TEMPFAIL: try again
    echo "{\"progress\": 30, \"message\": \"counting $path\"}"
    sleep 0.3 # slow enough to be watched
    set -- $(wc -l -w -c <"$path")
    longest=$(awk '{ if (length($0) > most) most = length($0) } END { print most + 0 }' "$path")
    echo "{\"lines\": $1, \"words\": $2, \"bytes\": $3, \"longest\": $longest}"
    ;;
esac
