BEGIN TRANSACTION;
CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        type TEXT NOT NULL,
        path TEXT NOT NULL,
        query TEXT NOT NULL,
        headers TEXT NOT NULL,
        body BLOB,
        idempotency_key TEXT,
        digest TEXT NOT NULL,
        model TEXT NOT NULL,
        priority INTEGER NOT NULL,
        state TEXT NOT NULL,
        run INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0,
        interruptions INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL,
        not_before REAL NOT NULL,
        expires REAL,
        started REAL,
        ended REAL,
        result_status INTEGER,
        result_type TEXT,
        result_bytes INTEGER NOT NULL DEFAULT 0,
        result BLOB,
        result_file TEXT,
        error TEXT
    );
INSERT INTO "jobs" VALUES(1,'job_00000000000000000000000000000001','key:a','chat','/v1/chat/completions','','[["content-type", "application/json"]]',NULL,NULL,'','m',0,'completed',1,0,0,1.79569509663745689393e+09,1.79569509663745689393e+09,NULL,1.79569509664229702951e+09,1.79569509664881348607e+09,200,'application/json',9,X'7B2261223A2031327D',NULL,NULL);
INSERT INTO "jobs" VALUES(2,'job_00000000000000000000000000000002','key:a','chat','/v1/chat/completions','','[["content-type", "application/json"]]',X'7B226E223A20327D',NULL,'','m',0,'running',1,0,0,1.79569509665402245526e+09,1.79569509665402245526e+09,NULL,1.79569509666485595698e+09,NULL,NULL,NULL,0,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(3,'job_00000000000000000000000000000003','key:a','chat','/v1/chat/completions','','[["content-type", "application/json"]]',X'7B226E223A20337D','k','d','m',0,'queued',0,0,0,1.79569509667719936366e+09,1.79569509667719936366e+09,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL);
CREATE UNIQUE INDEX jobs_by_key ON jobs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_in_line ON jobs (state, model, priority DESC, seq);
CREATE INDEX jobs_of_owner ON jobs (owner, seq);
CREATE INDEX jobs_by_end ON jobs (ended) WHERE ended IS NOT NULL;
COMMIT;
