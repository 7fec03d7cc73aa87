# Runs a compositor and outlives it for a moment, to leave nothing behind.
#   stdin  the lifeline: its other end is in the program that started us; it closes when that program
#          lets go of it or ends, however it ends
#   $1     the runtime folder, removed at the end;  the rest: the compositor's command
# This shell is the reaper of all that the compositor starts (PR_SET_CHILD_SUBREAPER).
set -u
dir=$1
shift
exec 3<&0 </dev/null

# Caught, not ignored: what is ignored here would be ignored by the compositor, too. PIPE because this shell
# tells of killed children on stderr, whose reader may be gone with the program.
trap : HUP INT TERM PIPE
"$@" 3<&- &
compositor=$!
{
    read -r _ <&3
    kill -TERM "$compositor"
    sleep 2
    kill -KILL "$compositor"
} 2>/dev/null &
exec 3<&-

# A signal to this shell ends `wait` early; it is meant for the compositor.
wait "$compositor"
status=$?
while kill -0 "$compositor" 2>/dev/null; do
    kill -TERM "$compositor"
    wait "$compositor"
    status=$?
done

# The compositor's children are ours by now. Those of a killed one are ours at the next look.
look=0
while [ "$look" -lt 100 ]; do
    look=$((look + 1))
    children=
    read -r children 2>/dev/null <"/proc/$$/task/$$/children"
    living=
    for child in $children; do
        stat=
        { read -r stat <"/proc/$child/stat"; } 2>/dev/null
        case $stat in
        '' | *') Z '*) ;;
        *) living="$living $child" ;;
        esac
    done
    [ -n "$living" ] || break
    # shellcheck disable=SC2086
    kill -KILL $living 2>/dev/null
    sleep 0.01 &
    wait $!
done
rm -rf -- "$dir"
exit "$status"
