package unifi

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeAnswer = failure.Code{Name: "E_UNIFI", Doc: "the console's answer is not understood; its words follow"}
	CodeAuth   = failure.Code{Name: "E_UNIFI_AUTH", Doc: "the console refuses the account"}
	CodeCert   = failure.Code{Name: "E_UNIFI_CERT", Doc: "the certificate is not one that the site accepts"}
	CodeDown   = failure.Code{Name: "E_UNIFI_DOWN", Doc: "the console cannot be reached, the connection broke off, or it takes no more " +
		"requests for now"}
	CodeBackup = failure.Code{Name: "E_UNIFI_BACKUP", Doc: "the console has no automatic backup, or what it sends is not the one that it " +
		"lists"}
)
