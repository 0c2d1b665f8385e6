package host

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeFailed  = failure.Code{Name: "E_HOST", Doc: "a command on the host failed; its words follow"}
	CodeAuth    = failure.Code{Name: "E_HOST_AUTH", Doc: "the host refuses our key"}
	CodeDown    = failure.Code{Name: "E_HOST_DOWN", Doc: "the host cannot be reached, or the connection broke off"}
	CodeProgram = failure.Code{Name: "E_HOST_PROGRAM", Doc: "a program that is needed is not on the host"}
	CodeNoSFTP  = failure.Code{Name: "E_HOST_SFTP", Doc: "the account's login does not lead to SFTP: it prints text, or SFTP is not offered"}
)
