package lab

import (
	"bytes"
	_ "embed" // the site's text
)

// Site is the site.star of the lab.
//
//go:embed site.star
var Site []byte

// SiteWithOneDrive is that site with OneDrive as its offsite target. The other one has a
// server with SFTP, which starts no process for each look at it.
func SiteWithOneDrive() []byte {
	begin := bytes.Index(Site, []byte("target(\n    name = \"offsite\""))
	end := begin + bytes.Index(Site[begin:], []byte("\n)\n")) + len("\n)\n")
	return bytes.Join([][]byte{Site[:begin], []byte(oneDriveTarget), Site[end:]}, nil)
}

const oneDriveTarget = `target(
    name = "offsite",
    url = "onedrive:///backups/pve1",
    medium = "cloud",
    location = "Microsoft",
    offsite = True,
    sealed_to = [RECOVERY],
    login = secret("onedrive"),
)
`

// RecoveryIdentity opens what the lab's targets hold sealed. A true one lies in a
// safe and never on the machine that makes the copies.
const RecoveryIdentity = "AGE-SECRET-KEY-PQ-1CKP8UTK6AF04K2MNXGY6SMX905PM89EKRHP0Q45QN57ECWEXUHEQL98NYD"
