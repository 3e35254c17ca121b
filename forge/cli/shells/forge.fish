# Completion of forge and forge-run for fish: forge completion fish > ~/.config/fish/completions/forge.fish
function __forge_complete
    set -l program (commandline -opc)[1]
    set program (string replace -r -- '-run$' '' $program)
    set program (string replace -r -- '^~' $HOME $program)
    $program __complete (commandline -cp | string collect) 2>/dev/null
end
complete -c forge -f -a '(__forge_complete)'
complete -c forge-run -f -a '(__forge_complete)'
