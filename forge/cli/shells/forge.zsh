#compdef forge forge-run
# Completion of forge and forge-run for zsh. In ~/.zshrc, after compinit: eval "$(forge completion zsh)"
_forge() {
    local program=${words[1]%-run} line word
    local -a closed closed_says open open_says
    program=${program/#\~/$HOME}
    for line in "${(@f)$("$program" __complete "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)}"; do
        word=${line%%$'\t'*}
        [[ -z $word ]] && continue
        # Behind a key, a group or a folder there is more to type: no space.
        if [[ $word == *[=./] ]]; then
            open+=("$word") open_says+=("${line/$'\t'/  }")
        else
            closed+=("$word") closed_says+=("${line/$'\t'/  }")
        fi
    done
    (( $#open )) && compadd -l -S '' -d open_says -- "${open[@]}"
    (( $#closed )) && compadd -l -d closed_says -- "${closed[@]}"
    (( $#open + $#closed ))
}
if [[ $funcstack[1] == _forge ]]; then
    _forge "$@"
else
    compdef _forge forge forge-run
fi
