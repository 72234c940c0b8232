"""The keys of Milvus 2.2.16 that are not read here, and who reads each of them in Go."""

from __future__ import annotations

from typing import Final

ALL: Final = "every process"
NOBODY: Final = "nobody"

_READERS: Final[dict[str, str]] = {
    ALL: """
        grpc.clientMaxRecvSize grpc.clientMaxSendSize grpc.client.dialTimeout
        grpc.client.keepAliveTime grpc.client.keepAliveTimeout grpc.client.maxMaxAttempts
        grpc.client.initialBackOff grpc.client.maxBackoff grpc.log.level
    """,
    "rootcoord": "common.cluster.name",
    "datacoord": """
        dataCoord.enableCompaction dataCoord.enableGarbageCollection
        dataCoord.channel.watchTimeoutInterval dataCoord.channel.balanceSilentDuration
        dataCoord.channel.balanceInterval dataCoord.segment.diskSegmentMaxSize
        dataCoord.segment.sealProportion dataCoord.segment.assignmentExpiration
        dataCoord.segment.maxLife dataCoord.segment.maxIdleTime
        dataCoord.segment.minSizeFromIdleToSealed dataCoord.segment.maxBinlogFileNumber
        dataCoord.segment.smallProportion dataCoord.segment.compactableProportion
        dataCoord.segment.expansionRate dataCoord.segment.allocLatestExpireAttempt
        dataCoord.compaction.enableAutoCompaction dataCoord.compaction.indexBasedCompaction
        dataCoord.compaction.rpcTimeout dataCoord.compaction.maxParallelTaskNum
        dataCoord.compaction.check.interval dataCoord.compaction.global.interval
        dataCoord.compaction.max.segment dataCoord.compaction.min.segment
        dataCoord.compaction.single.deltalog.maxnum dataCoord.compaction.single.deltalog.maxsize
        dataCoord.compaction.single.expiredlog.maxsize dataCoord.compaction.single.ratio.threshold
        dataCoord.compaction.timeout dataCoord.gc.interval dataCoord.gc.missingTolerance
        dataCoord.gc.dropTolerance common.chanNamePrefix.dataCoordSegmentInfo
        common.subNamePrefix.dataCoordSubNamePrefix common.entityExpiration
        msgChannel.chanNamePrefix.dataCoordSegmentInfo
        msgChannel.subNamePrefix.dataCoordSubNamePrefix
    """,
    "datacoord, datanode": """
        dataCoord.segment.maxSize dataNode.timetick.byRPC common.chanNamePrefix.dataCoordTimeTick
        common.subNamePrefix.dataNodeSubNamePrefix msgChannel.chanNamePrefix.dataCoordTimeTick
        msgChannel.subNamePrefix.dataNodeSubNamePrefix
    """,
    "datacoord, indexcoord, nodes": """
        minio.address minio.port minio.accessKeyID minio.secretAccessKey minio.useSSL
        minio.bucketName minio.rootPath minio.useIAM minio.cloudProvider minio.iamEndpoint
        minio.logLevel minio.region minio.useVirtualHost common.storageType localStorage.path
    """,
    "indexcoord": """
        indexCoord.minSegmentNumRowsToEnableIndex indexCoord.bindIndexNodeMode.enable
        indexCoord.bindIndexNodeMode.address indexCoord.bindIndexNodeMode.withCred
        indexCoord.bindIndexNodeMode.nodeID indexCoord.gc.interval indexCoord.scheduler.interval
    """,
    "indexcoord, indexnode, querynode": """
        common.DiskIndex.MaxDegree common.DiskIndex.SearchListSize
        common.DiskIndex.PQCodeBudgetGBRatio common.DiskIndex.BuildNumThreadsRatio
        common.DiskIndex.SearchCacheBudgetGBRatio common.DiskIndex.LoadNumThreadRatio
        common.DiskIndex.BeamWidthRatio
    """,
    "querycoord": """
        queryCoord.autoHandoff queryCoord.autoBalance queryCoord.balancer
        queryCoord.globalRowCountFactor queryCoord.scoreUnbalanceTolerationFactor
        queryCoord.reverseUnBalanceTolerationFactor queryCoord.balanceIntervalSeconds
        queryCoord.memoryUsageMaxDifferencePercentage queryCoord.checkInterval
        queryCoord.channelTaskTimeout queryCoord.segmentTaskTimeout queryCoord.distPullInterval
        queryCoord.loadTimeoutSeconds queryCoord.checkHandoffInterval queryCoord.taskMergeCap
        queryCoord.taskExecutionCap queryCoord.NextTargetSurviveTime
        queryCoord.UpdateNextTargetInterval queryCoord.checkHealthInterval
        queryCoord.checkHealthRPCTimeout queryCoord.checkNodeInReplicaInterval
        queryCoord.checkResourceGroupInterval queryCoord.enableRGAutoRecover
        queryCoord.task.retryinterval queryCoord.task.retrynum common.chanNamePrefix.search
        common.chanNamePrefix.searchResult msgChannel.chanNamePrefix.search
        msgChannel.chanNamePrefix.searchResult
    """,
    "querycoord, querynode": """
        queryCoord.overloadedMemoryThresholdPercentage common.chanNamePrefix.queryTimeTick
        msgChannel.chanNamePrefix.queryTimeTick
    """,
    "proxy": """
        proxy.port proxy.internalPort proxy.http.enabled proxy.http.port proxy.http.debug_mode
        proxy.msgStream.timeTick.bufSize proxy.maxNameLength proxy.maxFieldNum proxy.maxDimension
        proxy.maxTaskNum proxy.ginLogging proxy.maxPasswordLength proxy.minPasswordLength
        proxy.maxUsernameLength proxy.shardLeaderCacheInterval proxy.soPath grpc.server.retryTimes
        tls.serverPemPath tls.serverKeyPath tls.caPemPath common.security.tlsMode
        common.security.authorizationEnabled common.security.superUsers common.defaultIndexName
        common.gracefulTime common.jsonMaxLength common.subNamePrefix.proxySubNamePrefix
        msgChannel.subNamePrefix.proxySubNamePrefix autoIndex.params.build autoIndex.params.extra
        autoIndex.params.search autoIndex.type quotaAndLimits.ddl.enabled
        quotaAndLimits.ddl.collectionRate quotaAndLimits.ddl.partitionRate
        quotaAndLimits.indexRate.enabled quotaAndLimits.indexRate.max
        quotaAndLimits.flushRate.enabled quotaAndLimits.flushRate.max
        quotaAndLimits.compactionRate.enabled quotaAndLimits.compactionRate.max
        quotaAndLimits.limits.nq quotaAndLimits.limits.topK quotaAndLimits.limits.maxOutputSize
        quotaAndLimits.limits.maxQueryResultWindow quotaAndLimits.dml.insertRate.min
        quotaAndLimits.dml.deleteRate.min quotaAndLimits.dml.bulkLoadRate.min
        quotaAndLimits.dql.searchRate.min quotaAndLimits.dql.queryRate.min
    """,
    "nodes": """
        dataNode.port dataNode.dataSync.flowGraph.maxQueueLength
        dataNode.dataSync.flowGraph.maxParallelism dataNode.dataSync.maxParallelSyncTaskNum
        dataNode.dataSync.ioConcurrency dataNode.segment.insertBufSize
        dataNode.segment.deleteBufBytes dataNode.segment.syncPeriod
        dataNode.memory.forceSyncEnable dataNode.memory.forceSyncSegmentNum
        dataNode.memory.watermarkStandalone dataNode.memory.watermarkCluster
        dataNode.skip.BFStats.Load dataNode.bulkinsert.timeout.seconds
        dataNode.segment.binlog.maxsize dataNode.segment.cpLagPeriod
        dataNode.segment.cpLagSyncLimit dataNode.timetick.interval
        dataCoord.channel.watchEventTicklerInterval common.ImportMaxFileSize indexNode.port
        indexNode.enableDisk indexNode.maxDiskUsagePercentage indexNode.scheduler.buildParallel
        indexNode.gracefulStopTimeout queryNode.port queryNode.cacheSize
        queryNode.loadMemoryUsageFactor queryNode.enableDisk queryNode.maxDiskUsagePercentage
        queryNode.stats.publishInterval queryNode.dataSync.flowGraph.maxQueueLength
        queryNode.dataSync.flowGraph.maxParallelism queryNode.segcore.chunkRows
        queryNode.segcore.knowhereThreadPoolNumRatio queryNode.segcore.smallIndex.nlist
        queryNode.segcore.smallIndex.nprobe queryNode.segcore.cgoPoolSizeRatio
        queryNode.cache.enabled queryNode.cache.memoryLimit queryNode.scheduler.receiveChanSize
        queryNode.scheduler.unsolvedQueueSize queryNode.scheduler.maxReadConcurrentRatio
        queryNode.scheduler.cpuRatio queryNode.scheduler.minCPUParallelTaskNumRatio
        queryNode.scheduler.maxTimestampLag queryNode.scheduler.scheduleReadPolicy.name
        queryNode.scheduler.scheduleReadPolicy.taskQueueExpire queryNode.grouping.enabled
        queryNode.grouping.maxNQ queryNode.grouping.topKMergeRatio queryNode.gchelper.enabled
        queryNode.gchelper.maximumGoGC queryNode.gchelper.minimumGoGC
        queryNode.gracefulStopTimeout queryNode.soPath common.subNamePrefix.queryNodeSubNamePrefix
        common.chanNamePrefix.rootCoordDelta common.simdType common.indexSliceSize
        common.threadCoreCoefficient msgChannel.chanNamePrefix.rootCoordDelta
        msgChannel.subNamePrefix.queryNodeSubNamePrefix knowhere.simdType
    """,
    "standalone": """
        rocksmq.path rocksmq.rocksmqPageSize rocksmq.retentionTimeInMinutes
        rocksmq.retentionSizeInMB rocksmq.compactionInterval rocksmq.lrucacheratio
    """,
    NOBODY: """
        queryCoord.refreshTargetsIntervalSeconds grpc.client.backoffMultiplier
        common.chanNamePrefix.queryNodeStats common.chanNamePrefix.cmd
        common.chanNamePrefix.dataCoordStatistic common.subNamePrefix.rootCoordSubNamePrefix
        msgChannel.chanNamePrefix.dataCoordStatistic
        msgChannel.subNamePrefix.rootCoordSubNamePrefix pulsar.webport
    """,
}

READERS: Final[dict[str, str]] = {
    key: reader for reader, keys in _READERS.items() for key in keys.split()
}
"""Each key by its name in milvus.yaml, and who reads it: roles, `ALL` or `NOBODY`."""

OF_EACH_ROLE: Final = (
    "grpc.serverMaxRecvSize",
    "grpc.serverMaxSendSize",
    "grpc.gracefulStopTimeout",
    "grpc.clientMaxRecvSize",
    "grpc.clientMaxSendSize",
    "grpc.client.dialTimeout",
    "grpc.client.keepAliveTime",
    "grpc.client.keepAliveTimeout",
    "grpc.client.maxMaxAttempts",
    "grpc.client.initialBackOff",
    "grpc.client.maxBackoff",
)
"""What Go reads below the section of any role, too."""

TABLES: Final = ("kafka.consumer.",)
"""Sections of which others take any key: these are settings of librdkafka."""
