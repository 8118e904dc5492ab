# Made by tools/completions.py: run `make completions` after a change of the options.

function __execwhy_filter # the names of fields, after what has been typed of the filter already
    set -l before (string match -r '^.*[ (!]' -- (commandline -ct | string trim -l -c "'\""))
    for name in age ancestors arg arguments arguments_source binary.ctime binary.device binary.device_id binary.gid binary.inode_mode binary.inode_number binary.path binary.size binary.source binary.uid capabilities cgroup check_only comm compat container container_id container_runtime cwd device diagnosis.advice diagnosis.brief diagnosis.certain diagnosis.code diagnosis.evidence diagnosis.summary dirfd duration_ms egid env environment errno error euid flags foreign_mount_ns fsgid fsuid gid groups host inode interp interpreter_path kernel_invoked killed_by mode mount_ns parent_comm path path_afterwards path_source pid pid_ns pod pod_uid ppid return_value root runtime search.found_path search.id search.name search.outcome search.tries started stdin stdin_path stdin_type syscall tid timestamp truncated.argc truncated.arguments truncated.envc truncated.environment truncated.path tty uid unit user why
        echo $before$name
    end
end

complete -c execwhy -f
complete -c execwhy -s h -l help -f -d 'show this help message and exit'
complete -c execwhy -l filter -x -a '(__execwhy_filter)' -d 'start with this filter (? in the screen)'
complete -c execwhy -l uid -x -a '(__fish_complete_users)' -d 'only execs of this user'
complete -c execwhy -l path -r -F -d 'only paths that begin with PREFIX'
complete -c execwhy -l show-secrets -f -d 'do not mask what looks like a password or token'
complete -c execwhy -l metrics -r -F -d 'write the counters to this file, for node_exporter'
complete -c execwhy -l capture -x -a '(__execwhy_filter)' -d 'let the kernel skip what does not match; uid and path only'
complete -c execwhy -l plan -x -a 'fentry kprobe legacy tracepoint' -d 'use this hook plan, not the best one'
complete -c execwhy -l all-failures -f -d 'with fentry: also calls that seccomp or a missing x32 refuses; costs every system call 70 ns'
complete -c execwhy -l types -x -a 'btf headers' -d 'take the kernel'\''s types from here (BTF, else headers)'
complete -c execwhy -l max-args-bytes -x -d 'bytes of argv to read of each exec'
complete -c execwhy -l max-env-bytes -x -d 'the same for envp'
complete -c execwhy -l ring-size -x -d 'bytes between kernel and program, rounded up to a power of two (4M to 16M, by memory)'
complete -c execwhy -l user -x -a '(__fish_complete_users)' -d 'run as this user, not as the one behind sudo'
complete -c execwhy -l keep-privileges -f -d 'stay root, with all of root'\''s privileges'
complete -c execwhy -l record -r -F -d 'write JSON Lines without a screen; - is standard output'
complete -c execwhy -l open -r -F -d 'show snapshots or recordings, several in one order of time; what grows is followed; - is standard input'
complete -c execwhy -l check -f -d 'show what this kernel allows, and exit'
complete -c execwhy -l duration -x -d 'end after this many seconds'
complete -c execwhy -l count -x -d 'end after N failed execs'
complete -c execwhy -l max-bytes -x -d 'limit the file to this size; what does not fit is left out and counted'
complete -c execwhy -l keep -x -d 'with --max-bytes: begin a new, numbered file instead, and keep N files'
complete -c execwhy -l history -x -d 'keep N events (1000000)'
complete -c execwhy -l history-bytes -x -d 'keep this much, such as 200M (384M)'
complete -c execwhy -l theme -x -a 'dark light contrast terminal mono' -d 'colours (EXECWHY_THEME, else as the terminal has them)'
complete -c execwhy -l no-mouse -f -d 'leave the mouse to the terminal'
complete -c execwhy -l version -f -d 'show the version, and exit'
