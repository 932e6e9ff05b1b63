#!/usr/bin/env bash
# A copy of Postgres's log as it is written, beside a copy of its files now and then: together they give the state of any
# moment since the oldest of these copies.
#
#	pitr.sh receive                         copy for ever; what the profile pitr runs
#	pitr.sh healthy                         whether that gets on
#	pitr.sh list                            from when on there is a state to go back to
#	pitr.sh restore TO [--time TIME]        make a data folder TO, as of TIME ('2027-01-31 09:30:00+05:30') or of the end
#	pitr.sh anew                            put all of it aside: a restored server writes a log of its own
#
# The server keeps what was not received yet, up to its max_slot_wal_keep_size. To go back:
#
#	docker compose stop
#	docker compose run --rm --no-deps -v payaid_postgres:/data pitr restore /data/restored --time '…'
#	docker compose run --rm --no-deps -v payaid_postgres:/data --entrypoint sh pitr -c 'mv /data/pgdata /data/before && mv /data/restored /data/pgdata'
#	docker compose up -d --wait postgres            # reads the log, and is ready when it is there; again while it isn't
#	docker compose exec postgres psql -q -U postgres -f /docker-entrypoint-initdb.d/20-passwords.sql    # of today
#	docker compose run --rm migrate
#	docker compose run --rm --no-deps relay events new-epoch
#	docker compose run --rm --no-deps pitr anew
#	docker compose up -d --wait
set -euo pipefail

dir=${PITR_DIR:-/pitr}
slot=payaid_pitr
every=$((${PITR_BASE_DAYS:-7} * 86400))
keep=${PITR_KEEP_BASES:-2}
segment=$((16 << 20)) # bytes

give_up() {
	echo "pitr.sh: $1" >&2
	exit 1
}

# The name of a base is the moment at which it was whole, so that they sort. It is whole when the log of the time that the
# copying took is there as well: no server starts on it without.
bases() {
	find "$dir/base" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' 2>/dev/null | sort
}

copy_files() {
	local name last
	rm -rf "$dir/base/.making"
	# --wal-method=none: the log is in wal/, received before this began.
	pg_basebackup --no-password --checkpoint=fast --wal-method=none --format=plain --pgdata="$dir/base/.making" 2>&1
	sync -f "$dir/base/.making"
	last=$(last_segment "$dir/base/.making/backup_manifest")
	# The server has begun a new segment at the end of the copying, so that this one fills up.
	while [ ! -e "$dir/wal/$last" ]; do
		kill -0 "$1" 2>/dev/null || give_up "the log is received no more; its last words are above"
		sleep 0.2
	done
	name=$(date -u +%Y%m%dT%H%M%SZ)
	mv -T "$dir/base/.making" "$dir/base/$name"
	echo "copied the files: base/$name"
}

# The segment in which a copy of the files ends.
last_segment() {
	local timeline high low end
	read -r timeline high low < <(sed -n 's|.*"Timeline": \([0-9]*\),.*"End-LSN": "\([0-9A-F]*\)/\([0-9A-F]*\)".*|\1 \2 \3|p' "$1") ||
		give_up "$1 doesn't say where in the log the copy ends"
	end=$(((16#$high << 32) + 16#$low - 1))
	printf '%08X%08X%08X' "$timeline" $((end >> 32)) $((end >> 24 & 0xFF))
}

# Removes copies beyond those to keep, and the log that only they need.
remove_old() {
	local old first
	while [ "$(bases | wc -l)" -gt "$keep" ]; do
		old=$(bases | head -n 1)
		rm -rf "$old"
		echo "removed ${old#"$dir/"}"
	done
	first=$(sed -n 's/^START WAL LOCATION: .*(file \([0-9A-F]*\)).*/\1/p' "$(bases | head -n 1)/backup_label")
	[ -n "$first" ] || give_up "there is no beginning of the log in $(bases | head -n 1)/backup_label"
	pg_archivecleanup "$dir/wal" "$first"
}

due() {
	local newest
	newest=$(bases | tail -n 1)
	[ -z "$newest" ] || [ $(($(date +%s) - $(stat -c %Y "$newest/backup_label"))) -ge "$every" ]
}

# Copies the files when it is time, for as long as the log is received by the process of the given number.
copy_when_due() {
	# A new slot keeps nothing until its receiver has begun: a copy of the files would let go of the very segment it wants.
	while kill -0 "$1" 2>/dev/null && [ -z "$(find "$dir/wal" -type f -print -quit)" ]; do sleep 0.2; done
	while kill -0 "$1" 2>/dev/null; do
		if due; then
			copy_files "$1"
			remove_old
		fi
		sleep "${PITR_LOOK_SECONDS:-60}"
	done
}

receive() {
	mkdir -p "$dir/wal" "$dir/base"
	PGPASSWORD=$(cat "$PITR_PASSWORD_FILE")
	export PGPASSWORD
	rm -f "$dir/receiving"
	pg_receivewal --no-password --directory="$dir/wal" --slot="$slot" --create-slot --if-not-exists
	# What a receiver leaves that is killed while it makes the next segment's file: nothing was received into it yet, and
	# the next receiver would not go on with it.
	find "$dir/wal" -name '*.partial' ! -size "${segment}c" -delete \
		-printf 'removed wal/%f, which was being made when a receiver was killed\n'
	# Each in a group of its own: it isn't made to ignore SIGINT, and ends with what it runs.
	set -m
	# --synchronous: what was received is on the disk before it is said to be.
	pg_receivewal --no-password --directory="$dir/wal" --slot="$slot" --synchronous --no-loop &
	local receiver=$!
	copy_when_due "$receiver" &
	local copier=$!
	set +m
	# From here on this shell only waits: a trap that Bash 5.2 runs amid a $(...) is taken for a part of it, and fails.
	# shellcheck disable=SC2064 # the processes that there are now
	trap "kill -INT $receiver 2>/dev/null; kill -TERM -$copier 2>/dev/null; wait; rm -f '$dir/receiving'; exit 0" TERM INT
	echo "$receiver" >"$dir/receiving"
	wait -n "$receiver" "$copier" || true
	kill -INT "$receiver" 2>/dev/null || true
	kill -TERM "-$copier" 2>/dev/null || true
	wait || true
	rm -f "$dir/receiving"
	give_up "nothing is received or copied any more; the last words are above"
}

healthy() {
	local receiver
	receiver=$(cat "$dir/receiving" 2>/dev/null) || give_up "nothing is received yet"
	kill -0 "$receiver" 2>/dev/null || give_up "nothing is received"
	[ -n "$(bases)" ] || give_up "there is no copy of the files yet"
}

list() {
	local base
	bases | while read -r base; do
		sed -n "s|^START TIME: |from soon after |p" "$base/backup_label"
	done
	find "$dir/wal" -type f -printf '%T@ %TY-%Tm-%Td %TH:%TM:%.2TS UTC\n' | sort -n | tail -n 1 | cut -d ' ' -f 2- | sed 's/^/to /'
}

restore() {
	local to='' time='' base='' one began
	while [ $# -gt 0 ]; do
		case $1 in
		--time)
			[ -n "${2:-}" ] || give_up "--time wants a moment"
			time=$2
			shift 2
			;;
		-*) give_up "there is no flag $1" ;;
		*)
			to=$1
			shift
			;;
		esac
	done
	[ -n "$to" ] || give_up "say into which folder: restore TO"
	[ ! -e "$to" ] || [ -z "$(ls -A "$to")" ] || give_up "$to is not empty: what is there would be lost"
	if [ -n "$time" ]; then
		date -d "$time" >/dev/null 2>&1 || give_up "--time: want a moment such as '2027-01-31 09:30:00+05:30', got $time"
	fi
	# The newest copy that was whole by then.
	for one in $(bases); do
		began=${one##*/}
		if [ -z "$time" ] || [ "$(date -d "${began:0:4}-${began:4:2}-${began:6:2} ${began:9:2}:${began:11:2}:${began:13:2}Z" +%s)" -le "$(date -d "$time" +%s)" ]; then
			base=$one
		fi
	done
	[ -n "$base" ] || give_up "there is no copy of the files from before ${time:-now}"
	mkdir -p "$to"
	cp -a "$base/." "$to/"
	chmod 0700 "$to"
	# It lets nobody in before it is there (hot_standby): what looks ready then is, and can be written to.
	# The segment that was being written when the server was lost is there as far as it was received, in a file of the
	# whole size; a shorter one was just being made, and no server takes it.
	cat >>"$to/postgresql.auto.conf" <<CONF
restore_command = 'cp "$dir/wal/%f" "%p" || { [ "\$(stat -c %%s "$dir/wal/%f.partial")" = $segment ] && cp "$dir/wal/%f.partial" "%p"; }'
hot_standby = off
recovery_target_timeline = 'latest'
recovery_target_action = 'promote'
CONF
	[ -z "$time" ] || echo "recovery_target_time = '$time'" >>"$to/postgresql.auto.conf"
	touch "$to/recovery.signal"
	echo "$to begins with ${base##*/}; the server that is started on it reads the log up to ${time:-its end}"
}

anew() {
	local aside
	aside=$dir/before-$(date -u +%Y%m%dT%H%M%SZ)
	mkdir "$aside"
	mv "$dir/wal" "$dir/base" "$aside/"
	echo "what was received until now is in $aside; remove it when all is well"
}

case ${1:-} in
receive | healthy | list | anew) "$1" ;;
restore)
	shift
	restore "$@"
	;;
*) give_up "want receive, healthy, list, restore or anew" ;;
esac
