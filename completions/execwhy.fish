# Made by tools/completions.py: run `make completions` after a change of the options.

function __execwhy_filter # the names of fields, after what has been typed of the filter already
    set -l before (string match -r '^.*[ (!]' -- (commandline -ct | string trim -l -c "'\""))
    for name in age ancestors arg arguments arguments_source binary.ctime binary.device binary.device_id binary.gid binary.inode_mode binary.inode_number binary.path binary.size binary.source binary.uid capabilities cgroup check_only comm compat container container_id container_runtime cwd device diagnosis.advice diagnosis.brief diagnosis.certain diagnosis.code diagnosis.evidence diagnosis.summary dirfd duration_ms egid env environment errno error euid flags foreign_mount_ns fsgid fsuid gid groups host inode interp interpreter_path kernel_invoked killed_by kind mode mount_ns parent_comm path path_afterwards path_source pid pid_ns pod pod_uid ppid return_value root runtime search.found_path search.id search.name search.outcome search.tries started stdin stdin_path stdin_type syscall tid timestamp truncated.argc truncated.arguments truncated.envc truncated.environment truncated.path tty uid unit user why
        echo $before$name
    end
end

complete -c execwhy -f
complete -c execwhy -s h -l help -f -d 'show this help message and exit'
complete -c execwhy -l filter -x -a '(__execwhy_filter)' -d 'start with this filter; press ? in the monitor for examples'
complete -c execwhy -l uid -x -a '(__fish_complete_users)' -d 'only execs of this user'
complete -c execwhy -l path -r -F -d 'only paths that begin with PREFIX'
complete -c execwhy -l show-secrets -f -d 'do not mask values that look like passwords or tokens'
complete -c execwhy -l metrics -r -F -d 'write the counters to this file, for node_exporter'
complete -c execwhy -l capture -x -a '(__execwhy_filter)' -d 'have the kernel skip execs that do not match; uid and path only'
complete -c execwhy -l plan -x -a 'fentry kprobe legacy tracepoint' -d 'use this hook plan instead of the best one'
complete -c execwhy -l all-failures -f -d 'with fentry: also see calls refused by seccomp or for lack of x32; 70 ns more per system call'
complete -c execwhy -l types -x -a 'btf headers' -d 'where to take the kernel'\''s types from (default: BTF if there is any)'
complete -c execwhy -l max-args-bytes -x -d 'bytes of argv to read from each exec (default: 8K)'
complete -c execwhy -l max-env-bytes -x -d 'the same for envp'
complete -c execwhy -l ring-size -x -d 'size of the kernel'\''s buffer, rounded up to a power of two (default: 4M to 16M)'
complete -c execwhy -l user -x -a '(__fish_complete_users)' -d 'run as this user instead of the one who called sudo'
complete -c execwhy -l keep-privileges -f -d 'stay root, with all of root'\''s privileges'
complete -c execwhy -l record -r -F -d 'write JSON Lines without a screen; - is standard output'
complete -c execwhy -l open -r -F -d 'show snapshots or recordings, merged by time; a growing one is followed; - is standard input'
complete -c execwhy -l check -f -d 'show what this kernel allows, and exit'
complete -c execwhy -l duration -x -d 'end after this many seconds'
complete -c execwhy -l count -x -d 'end after N failed execs'
complete -c execwhy -l max-bytes -x -d 'limit the file to this size; records that do not fit are left out and counted'
complete -c execwhy -l keep -x -d 'with --max-bytes: begin a new numbered file when one is full, and keep N files'
complete -c execwhy -l history -x -d 'keep N events (default: 1000000)'
complete -c execwhy -l history-bytes -x -d 'memory for these events (default: 384M)'
complete -c execwhy -l theme -x -a 'dark light contrast terminal mono' -d 'colours (default: EXECWHY_THEME, or what suits the terminal)'
complete -c execwhy -l no-mouse -f -d 'leave the mouse to the terminal'
complete -c execwhy -l version -f -d 'show the version, and exit'
