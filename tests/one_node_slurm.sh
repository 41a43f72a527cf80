#!/bin/sh
# A Slurm of one node on this machine, for the tests: `one_node_slurm.sh start FOLDER` writes its configuration, keys
# and logs to FOLDER and starts munged, slurmctld and slurmd; `one_node_slurm.sh stop FOLDER` ends these three.
# Needs root, and Debian's packages slurm-wlm and munge. SLURM_CONF is FOLDER/slurm.conf.
set -eu
what=$1 folder=$2
PATH=$PATH:/usr/sbin

stop() {
    # Jobs first: their processes outlive the node's daemon.
    SLURM_CONF="$folder/slurm.conf" scancel --user="$(id -un)" 2>/dev/null || true
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -n "$(SLURM_CONF="$folder/slurm.conf" squeue -h 2>/dev/null)" ] || break
        sleep 1
    done
    for name in slurmd slurmctld munged; do
        if [ -s "$folder/$name.pid" ]; then
            pid=$(cat "$folder/$name.pid")
            kill "$pid" 2>/dev/null || true
            # slurmd first waits for its jobs.
            for _ in 1 2 3 4 5 6 7 8 9 10; do
                kill -0 "$pid" 2>/dev/null || break
                sleep 0.5
            done
            kill -9 "$pid" 2>/dev/null || true
        fi
    done
}

if [ "$what" = stop ]; then
    stop
    exit
fi
mkdir -p "$folder/state" "$folder/spool"
chmod 755 "$folder"
dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 2>/dev/null
chmod 400 "$folder/munge.key"
host=$(hostname -s)
port=$((20000 + $$ % 20000))
cat >"$folder/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SchedulerParameters=defer_batch
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=2
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
NodeName=one NodeHostname=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=all Nodes=one Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF="$folder/slurm.conf"
munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
slurmctld -i
slurmd -N one
tries=0
until sinfo -h -o %t 2>/dev/null | grep -q idle; do
    tries=$((tries + 1))
    if [ $tries -ge 60 ]; then
        echo "Slurm did not come up within 60 seconds; its logs are in $folder." >&2
        tail -n 5 "$folder"/slurm*.log >&2 || true
        stop
        exit 1
    fi
    sleep 1
done
