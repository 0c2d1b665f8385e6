package lab

import _ "embed" // the site's text

// Site is the site.star of the lab.
//
//go:embed site.star
var Site []byte

// RecoveryIdentity opens what the lab's targets hold sealed. A true one lies in a
// safe and never on the machine that makes the copies.
const RecoveryIdentity = "AGE-SECRET-KEY-PQ-1CKP8UTK6AF04K2MNXGY6SMX905PM89EKRHP0Q45QN57ECWEXUHEQL98NYD"
