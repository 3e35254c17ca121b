# Completion of forge and forge-run for bash. In ~/.bashrc: eval "$(forge completion bash)"
_forge() {
    local program=${1%-run} typed=${COMP_LINE:0:COMP_POINT} line breaks="" candidate
    program=${program/#\~/$HOME}
    # What bash replaces begins behind the last of these; forge answers with whole words.
    [[ $COMP_WORDBREAKS == *=* ]] && breaks+="="
    [[ $COMP_WORDBREAKS == *:* ]] && breaks+=":"
    local word=${typed##*[[:space:]]} before=""
    if [[ -n $breaks && $word == *[$breaks]* ]]; then
        before=${word%"${word##*[$breaks]}"}
    fi
    COMPREPLY=()
    while IFS= read -r line; do
        candidate=${line%%$'\t'*}
        candidate=${candidate#"$before"}
        [[ $candidate == *[!A-Za-z0-9_./=,:+-]* ]] && printf -v candidate %q "$candidate"
        COMPREPLY+=("$candidate")
    done < <("$program" __complete "$typed" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=./] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _forge forge forge-run
