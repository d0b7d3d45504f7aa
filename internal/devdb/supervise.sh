# Becomes a PostgreSQL server that ends with its parent process.
#
#   supervise.sh SCRATCH DATA INITDB POSTGRES [ARGUMENT...]
#
# SCRATCH is the folder to remove at the end. DATA is initialised by INITDB if it does not exist.
# Standard input is a pipe that the parent alone can write to: its end, however it comes about, is the order to stop.
# Descriptor 3 is a pipe that the watchdog alone keeps open: its end says that nothing is left.

scratch=$1 data=$2 initdb=$3 postgres=$4
shift 4
group=$$

# stop SIGNAL TENTHS: signals the group until the server is gone. Once would not do: a program that has just begun may
# not heed the signal yet. A server that cleaned up after itself counts as gone although it is still listed, for the
# parent of an orphan may never collect it.
stop() {
	tenths=0
	while [ "$tenths" -lt "$2" ] && kill -s 0 "$group" 2>/dev/null && { [ -z "$serving" ] || [ -e "$data/postmaster.pid" ]; }; do
		kill -s "$1" -- "-$group" 2>/dev/null
		sleep 0.1
		tenths=$((tenths + 1))
	done
}

watch() {
	trap '' HUP INT QUIT TERM
	while read -r _; do :; done
	serving=
	if [ -e "$data/postmaster.pid" ]; then serving=yes; fi
	stop INT 100  # fast: sessions are ended, the data is left clean
	stop QUIT 30  # at once: the data is recovered at the next start
	kill -s KILL "$group" 2>/dev/null
	# An interrupted initdb may still be at work in the folder.
	tries=0
	until rm -rf "$scratch" 2>/dev/null || [ "$tries" -ge 20 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
}

# The watchdog is an orphan, because a server takes the end of an unknown child for a crash. It stays in the process
# group of the server, so that the number of the group is not given to another process while it may still be signalled.
exec 4<&0
((watch) <&4 4<&- &)
exec 3>&- 4<&- </dev/null

if [ ! -e "$data" ]; then
	new="$data.new"
	rm -rf "$new"
	init() {
		"$initdb" --no-sync --no-instructions -E UTF8 --locale="$1" -U postgres --auth-local=trust --auth-host=scram-sha-256 -D "$new"
	}
	# C.UTF-8 is not known everywhere; C sorts the same, and knows less of letter case.
	init C.UTF-8 || init C || exit 1
	mv "$new" "$data" || exit 1
fi
exec "$postgres" -D "$data" "$@"
