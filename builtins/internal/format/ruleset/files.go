package ruleset

// File is the document of every ruleset; the other files are a vendor's own.
const File = "ruleset.json"

// UniFiBackup is the suffix of a UniFi console's own backup.
const UniFiBackup = ".unf"
