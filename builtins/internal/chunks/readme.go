package chunks

// ReadmeCommands is how the files come back without runner, for the README.txt beside a
// repository. A test of kopia's own program runs every line; FOLDER is the repository's, SNAPSHOT and NAME
// are the operator's to fill in.
const ReadmeCommands = `export KOPIA_PASSWORD='...'    # the password of the repository, from the sealed secrets
kopia repository connect filesystem --path=FOLDER --readonly
kopia snapshot list --all --show-identical    # runner@runner:/KIND/ASSET/TIME, and the snapshot's id
kopia restore SNAPSHOT/NAME NAME    # one file
kopia restore SNAPSHOT OUT    # all files of a copy
kopia snapshot verify --verify-files-percent=100    # reads every chunk
kopia repository disconnect
`
