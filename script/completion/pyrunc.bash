# Completion of pyrunc for bash: what script/completion.py writes into the places between @.

# Which kind of word stands for the option $1 of the command $command, in $kind; what it takes, in $options and $positional.
_pyrunc_about() {
    kind= options= positional=()
    case $command in
    '')
        options='@GENERAL@'
        case $1 in
@GENERAL_KINDS@
        esac
        ;;
@CASES@
    esac
}

_pyrunc() {
    local cur=${COMP_WORDS[COMP_CWORD]} command= kind= options= root= place=0 i word
    local -a positional=()
    COMPREPLY=()
    # What is before the cursor: options with their values, the command, its arguments.
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        -*)
            _pyrunc_about "$word"
            if [[ -n $kind && ${COMP_WORDS[i + 1]} == = ]]; then
                ((i++))
                ((i + 1 < COMP_CWORD)) || break
                [[ $word == --root ]] && root=${COMP_WORDS[i + 1]}
                ((i++))
                kind=
            elif [[ -n $kind ]]; then
                ((i + 1 < COMP_CWORD)) || break
                [[ $word == --root ]] && root=${COMP_WORDS[i + 1]}
                ((i++))
                kind=
            fi
            ;;
        *)
            if [[ -z $command ]]; then command=$word; else ((place++)); fi
            ;;
        esac
    done
    if [[ -z $kind ]]; then
        _pyrunc_about ''
        kind=any
        if [[ $cur == -* ]]; then
            kind="words $options"
        elif [[ -z $command ]]; then
            kind='words @COMMANDS@'
        elif ((place < ${#positional[@]})); then
            kind=${positional[place]}
        elif [[ $command == exec && $place -gt 0 ]]; then
            kind=file
        fi
    fi
    [[ $cur == = ]] && cur=
    local IFS=$'\n'
    case $kind in
    words*) COMPREPLY=($(IFS=' '; compgen -W "${kind#words }" -- "$cur")) ;;
    id) COMPREPLY=($(IFS=$' \n'; compgen -W "$("${COMP_WORDS[0]}" ${root:+--root "$root"} list --quiet 2>/dev/null)" -- "$cur")) ;;
    directory)
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -d -- "$cur"))
        ;;
    file)
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$cur"))
        ;;
    esac
}

complete -F _pyrunc pyrunc
