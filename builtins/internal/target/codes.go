package target

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeMediaAbsent  = failure.Code{Name: "E_MEDIA_ABSENT", Doc: "the medium is not there"}
	CodeMediaOverdue = failure.Code{Name: "E_MEDIA_OVERDUE", Doc: "an offline medium was not there when it was due"}
	CodeWrongMedium  = failure.Code{Name: "E_WRONG_MEDIUM", Doc: "another medium is in its place: UUID or serial differ"}
	CodeSameDevice   = failure.Code{Name: "E_SAME_DEVICE", Doc: "two targets lie on one device: they would be one copy"}
	CodeFull         = failure.Code{Name: "E_TARGET_FULL", Doc: "there is not enough space"}
	CodeReadOnly     = failure.Code{Name: "E_TARGET_READONLY", Doc: "the file system is read-only"}
	CodeDown         = failure.Code{Name: "E_TARGET_DOWN", Doc: "the target cannot be reached, or the connection broke off"}
	CodeBusy         = failure.Code{Name: "E_TARGET_BUSY", Doc: "another process writes to the target's repository, or maintains it"}
	CodeDenied       = failure.Code{Name: "E_TARGET_DENIED", Doc: "the target refuses our account or an operation"}
	CodeFailed       = failure.Code{Name: "E_TARGET_FAILED", Doc: "the target refuses an operation and gives no reason"}
	CodeNoSFTP       = failure.Code{Name: "E_TARGET_SFTP", Doc: "the account's login does not lead to SFTP: it prints text, or SFTP is " +
		"not offered"}
	CodeDamaged        = failure.Code{Name: "E_DAMAGED", Doc: "what is there is not what was written"}
	CodeNoIdentity     = failure.Code{Name: "E_NO_IDENTITY", Doc: "a sealed copy was to be opened, and there is no identity for it here"}
	CodeNotFound       = failure.Code{Name: "E_NOT_FOUND", Doc: "the copy is not there"}
	CodeBadManifest    = failure.Code{Name: "E_BAD_MANIFEST", Doc: "a manifest cannot be read, or contradicts the ledger"}
	CodeBadTarget      = failure.Code{Name: "E_BAD_TARGET", Doc: "the target is declared wrongly in the site"}
	CodeArchiveMissing = failure.Code{Name: "E_ARCHIVE_MISSING", Doc: "an archive is not there any more, or is not the one that was made"}
	CodeWindow         = failure.Code{Name: "E_TARGET_WINDOW", Doc: "the target is written in certain hours alone, and it is not one of them"}
	CodeReadBudget     = failure.Code{Name: "E_READ_BUDGET", Doc: "what proofs may read of the target in a night is spent"}
	CodeArchiveRead    = failure.Code{Name: "E_ARCHIVE_READ", Doc: "an archive is there and cannot be read: rights, or the disk"}
)
