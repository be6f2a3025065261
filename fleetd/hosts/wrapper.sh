# What runs on a host around every command of fleetd; POSIX sh on Linux. It is told what to do by lines on its standard
# input (fleetd/hosts/wrapper.py), and what follows them is left for the command. It answers with one line on standard output.
#
# A marker "<task id>@<lease epoch>" holds "<process group> <start time of its leader> <boot id>". Whoever starts first
# publishes its own marker, then looks at the others of its task: of two that start at once at least one sees the other.

# Read one line into $value: "=text" as it is, "%text" with octal escapes.
take() {
    IFS= read -r value || exit 70
    case $value in
        %*) value=$(printf %bx "${value#%}"); value=${value%x} ;;
        *) value=${value#=} ;;
    esac
}

say() { echo "fleetd $nonce $*"; }

refuse() {
    say refused "$*"
    exit 71
}

# Read how a process is into $state, $group and $born; fails when there is no such process.
look() {
    { IFS= read -r line < "/proc/$1/stat"; } 2> /dev/null || return 1
    split ${line##*) }
}

split() {
    state=$1 group=$3
    shift 19 2> /dev/null || return 1
    born=$1
}

# Put the living processes of group $1 except the process $2 into $members. Without forks: a child would be a member.
find_members() {
    members=
    for file in /proc/[0-9]*/stat; do
        one=${file#/proc/}; one=${one%/stat}
        [ "$one" != "$2" ] && look "$one" && [ "$group" = "$1" ] || continue
        case $state in Z|X) ;; *) members="$members $one" ;; esac
    done
}

# Wait $2 tenths of a second for the group $1 to be gone.
gone_within() {
    left=$2
    while kill -s 0 -- "-$1" 2> /dev/null; do
        # Zombies that nobody collects are gone, too.
        find_members "$1" ""
        [ -n "$members" ] || return 0
        [ "$left" -gt 0 ] || return 1
        sleep 0.1
        left=$((left - 1))
    done
}

# End the group of the marker file $1: TERM, then KILL after $2 tenths of a second.
end_marked() {
    # One that says nothing is the work of a full disk.
    { read -r its_group its_born its_boot < "$1"; } 2> /dev/null || its_boot=none
    # A number that was given to another process since means that the group is gone: while it has members nobody gets its number.
    if [ "$its_boot" = "$boot" ] && { ! look "$its_group" || [ "$born" = "$its_born" ]; }; then
        kill -s TERM -- "-$its_group" 2> /dev/null
        if ! gone_within "$its_group" "$2"; then
            kill -s KILL -- "-$its_group" 2> /dev/null
            gone_within "$its_group" 100 || return 1
        fi
    fi
    rm -f "$1"
}

# End what the command left in this group.
end_rest() {
    find_members "$$" "$$"
    [ -n "$members" ] || return 0
    kill -s TERM $members 2> /dev/null
    left=$grace
    while find_members "$$" "$$"; [ -n "$members" ]; do
        [ "$left" -gt 0 ] || kill -s KILL $members 2> /dev/null
        [ "$left" -gt -100 ] || return 1
        sleep 0.1
        left=$((left - 1))
    done
}

take; mode=$value
take; nonce=$value
[ -r /proc/self/stat ] || refuse "there is no /proc: a host must run Linux"
read -r boot < /proc/sys/kernel/random/boot_id
take; markers=$value
case $markers in /*) ;; *) markers=$PWD/$markers ;; esac
(umask 077 && mkdir -p "$markers") 2> /dev/null && [ -w "$markers" ] || refuse "the directory of markers cannot be written: $markers"
take; work_dir=$value
take; grace=$value

if [ "$mode" = check ]; then
    look "$$"
    [ "$group" = "$$" ] || refuse "commands get no process group of their own: a host needs the SSH server of OpenSSH"
    [ -z "$work_dir" ] || CDPATH= cd -- "$work_dir" 2> /dev/null || refuse "there is no such work_dir: $work_dir"
    # Nothing of before the last start of the machine runs any more.
    for other in "$markers"/*@*; do
        { read -r its_group its_born its_boot < "$other"; } 2> /dev/null || continue
        [ "$its_boot" = "$boot" ] || rm -f "$other"
    done
    say ok
    exit 0
fi

take; task=$value
take; epoch=$value
marker=$markers/$task@$epoch

if [ "$mode" = end ]; then
    end_marked "$marker" "$grace" || refuse "process group $its_group does not end"
    say ended
    exit 0
fi

# Variables and then arguments, all in "$@".
take; fleetd_arguments=$value
take; count=$value
set --
while [ "$count" -gt 0 ]; do
    take; set -- "$@" "$value"
    count=$((count - 1))
done

look "$$"
[ "$group" = "$$" ] || refuse "commands get no process group of their own: a host needs the SSH server of OpenSSH"
[ -z "$work_dir" ] || CDPATH= cd -- "$work_dir" 2> /dev/null || refuse "there is no such work_dir: $work_dir"

# A link appears whole or not at all, and fails when there is one.
draft=$markers/.$task@$epoch.$$
linked=false
echo "$$ $born $boot" > "$draft" && ln "$draft" "$marker" 2> /dev/null && linked=true
rm -f "$draft"
for other in "$markers/$task"@*; do
    its_epoch=${other##*@}
    [ -e "$other" ] && [ "$its_epoch" -gt "$epoch" ] || continue
    $linked && rm -f "$marker"
    say stale "$its_epoch"
    exit 75
done
if ! $linked; then
    [ -e "$marker" ] || refuse "the marker cannot be written: $marker"
    say stale "$epoch"
    exit 75
fi
for other in "$markers/$task"@*; do
    [ "$other" != "$marker" ] && [ -e "$other" ] || continue
    if ! end_marked "$other" "$grace"; then
        rm -f "$marker"
        refuse "process group $its_group of lease ${other##*@} does not end"
    fi
done
# Whoever was ended in the middle could not take its draft along.
for other in "$markers/.$task"@*; do
    its_epoch=${other##*@}
    [ "${its_epoch%.*}" = "*" ] || [ "${its_epoch%.*}" -gt "$epoch" ] || rm -f "$other"
done

say started "$$"
# Signals to the group are for the command; this shell stays to remove the marker.
trap : TERM INT HUP
(
    # Here and not before: they may have the names of this script's own, or be its PATH.
    while [ "$#" -gt "$fleetd_arguments" ]; do
        export "$1"
        shift
    done
    exec "$@"
)
status=$?
trap "" TERM INT HUP
# While something is left the marker stays: the next start ends it first.
end_rest && rm -f "$marker"
exit "$status"
