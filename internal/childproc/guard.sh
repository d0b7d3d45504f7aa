# Ends a process group when the process that started it is gone.
#
# Read from standard input by: sh -s TENTHS
# Descriptor 3 is a pipe that the process alone can write to. Its first line is the number of the group; its end, however
# it comes about, is the order to end the group: SIGTERM, and SIGKILL after that many tenths of a second.

trap '' HUP INT QUIT TERM
{
	read -r group <&3 || exit 0
	read -r _ <&3
	kill -s TERM -- "-$group" || exit 0
	tenths=0
	while [ "$tenths" -lt "$1" ]; do
		sleep 0.1
		kill -s 0 -- "-$group" || exit 0
		tenths=$((tenths + 1))
	done
	kill -s KILL -- "-$group"
	exit 0
} 2>/dev/null
