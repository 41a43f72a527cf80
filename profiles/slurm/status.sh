#!/bin/sh
# What has become of a job of Slurm's: running, success or failed, as Snakemake asks. Without an answer it would wait
# forever for a job that was cancelled, killed, or whose time was up: such a job cannot say so itself.
state=$(sacct -n -X -P -o State -j "$1" 2>/dev/null | head -n 1)
if [ -z "$state" ]; then
    # There are no accounts here, or not yet.
    if said=$(scontrol -o show job "$1" 2>&1); then
        state=${said##*JobState=}
    else
        case $said in
        *"Invalid job id"*) state=FORGOTTEN ;;
        *) state=PENDING ;; # The scheduler cannot be asked at the moment.
        esac
    fi
fi
case ${state%% *} in
COMPLETED) echo success ;;
CONFIGURING | COMPLETING | PENDING | REQUEUED | RESIZING | RUNNING | SIGNALING | STAGE_OUT | STOPPED | SUSPENDED)
    echo running
    ;;
*) echo failed ;;
esac
