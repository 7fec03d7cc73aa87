# Something that moves: a counter and the time, scrolling. Each line changes the whole picture, and a
# line comes every 5 ms or so: more often than a 120 Hz screen is refreshed, with one cheap process each.
line=0
clock=
while :; do
    [ $((line % 32)) -ne 0 ] || clock=$(date '+%F %T.%N')
    line=$((line + 1))
    printf '\033[%dm%s  line %d  ################################################\033[0m\n' \
        $((31 + line / 32 % 6)) "$clock" "$line"
    sleep 0.003
done
