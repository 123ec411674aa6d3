# Completion of pyrunc for fish: what script/completion.py writes into the places between @.

# Print the words before the cursor that are no options and no values of options: the command, and its arguments.
function __pyrunc_words
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word @WITH_VALUE@
            set skip 1
        else if not string match -q -- '-*' $word
            echo $word
        end
    end
end

function __pyrunc_needs_command
    test -z "$(__pyrunc_words)"
end

function __pyrunc_command
    set -l words (__pyrunc_words)
    test "$words[1]" = $argv[1]
end

# Whether argument number $argv[1] of the command, from 0, is what is asked for.
function __pyrunc_place
    set -l words (__pyrunc_words)
    test (count $words) = (math $argv[1] + 1)
end

function __pyrunc_ids
    set -l root
    set -l words (commandline -opc)
    for place in (seq (count $words))
        switch $words[$place]
            case --root
                set root --root $words[(math $place + 1)]
            case '--root=*'
                set root $words[$place]
        end
    end
    $words[1] $root list --quiet 2>/dev/null
end

complete -c pyrunc -f
@LINES@
